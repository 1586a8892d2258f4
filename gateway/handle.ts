import { hash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { performance } from "node:perf_hooks";
import { refusalIn, refuse } from "@kontor/platform/errors/refusal.ts";
import { checkAccess, edgeCaller } from "@kontor/platform/rpc/access.ts";
import type { Admission } from "@kontor/platform/rpc/admission.ts";
import { Call } from "@kontor/platform/rpc/call.ts";
import type { Trace, User } from "@kontor/platform/rpc/call.ts";
import { refusalFor } from "@kontor/platform/rpc/faults.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { discardBody, hasBody, readBody, requireIdentity, requireJson, requireNoBody } from "./body.ts";
import type { Cors, Policy } from "./headers.ts";
import { ofBadToken, problemOf } from "./problem.ts";
import type { Reason } from "./problem.ts";
import type { Match, RouteTable, RpcRoute } from "./routes.ts";
import type { Tokens } from "./tokens.ts";
import { correlationOf, traceOf } from "./trace.ts";

export interface HandlerOptions {
  readonly table: RouteTable;
  readonly tokens: Tokens;
  readonly reasons: ReadonlyMap<string, Reason>;
  readonly security: Readonly<Record<Policy, readonly string[]>>;
  readonly cors: Cors;
  readonly admission: Admission;
  readonly log: Logger;
  readonly timeoutMs: number;
  readonly bodyBytesMax: number;
  readonly draining: () => boolean;
}

/** One request and its answer. */
interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly startedMs: number;
  readonly trace: Trace;
  readonly correlation: string;
  /** The path's template once it is known. The path itself may hold a cart's id, which is a secret. */
  template: string;
}

/** Probes that come every few seconds and would drown the rest of the log. */
const unlogged = new Set(["/livez", "/readyz"]);

/** Answers every request: nothing is thrown out of it. */
export function createHandler(options: HandlerOptions): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const { table, tokens, reasons, security, cors, admission, log, timeoutMs, bodyBytesMax, draining } = options;
  const varyOnRead = ["Vary", cors.none ? "Authorization" : "Authorization, Origin"];
  const varyOnWrite = cors.none ? [] : ["Vary", "Origin"];

  async function serve(exchange: Exchange): Promise<void> {
    const { request } = exchange;
    const { url = "/", method: verb = "GET" } = request;
    const mark = url.indexOf("?");
    const path = mark < 0 ? url : url.slice(0, mark);
    if (request.headers.host === undefined && request.httpVersion === "1.1")
      throw refuse({ reason: "INVALID_REQUEST", code: "invalid_argument", message: "The Host header is missing" });
    if (verb === "OPTIONS" && request.headers["access-control-request-method"] !== undefined) return preflight(exchange, path);
    const match = table.find(verb, path);
    exchange.template = match.route.template;
    if (match.route.kind === "rpc") return serveRpc(exchange, match.route, match, mark < 0 ? "" : url.slice(mark + 1));
    requireNoBody(request);
    const { status, policy, type, cacheControl, body } = await match.route.page(match.params);
    return send(exchange, status, policy, ["Content-Type", type, "Cache-Control", cacheControl], body);
  }

  async function serveRpc(exchange: Exchange, route: RpcRoute, { params }: Match, query: string): Promise<void> {
    const { request, trace, correlation } = exchange;
    const { headers } = request;
    admission.refuseWhenFull(route.urgent);
    const whose = headers.authorization === undefined ? undefined : tokens.verify(tokenIn(headers.authorization));
    const user: User | undefined = whose instanceof Promise ? await whose : whose;
    checkAccess(route.contract, { caller: edgeCaller, user });
    const idempotencyKey = keyIn(headers["idempotency-key"], route.keyRequired);
    let body: Buffer | undefined;
    if (!route.takesBody) requireNoBody(request);
    else if (hasBody(request)) {
      if (route.rawBody) requireIdentity(request);
      else requireJson(request);
      if (headers.expect?.toLowerCase() === "100-continue") exchange.response.writeContinue();
      // Before a place is taken: a slow sender would hold it.
      body = await readBody(request, bodyBytesMax);
    }
    const message = route.read({ path: params, query, body, headers });
    const call = new Call({ caller: edgeCaller, user, deadlineMs: performance.now() + timeoutMs, idempotencyKey, trace, correlation });
    const wait = admission.enter(route.urgent, call.deadlineMs);
    if (wait !== undefined) await wait;
    try {
      const answer = route.write(await route.invoke(message, call));
      if (route.verb === "GET") return sendRead(exchange, route, answer, user);
      return send(
        exchange,
        answer.status,
        answer.page ? "answer" : "api",
        [...answer.headers, "Cache-Control", "no-store", ...varyOnWrite],
        answer.body,
      );
    } finally {
      admission.leave();
    }
  }

  function sendRead(exchange: Exchange, route: RpcRoute, answer: ReturnType<RpcRoute["write"]>, user: User | undefined): void {
    const policy = answer.page ? "answer" : "api";
    // What a signed-in caller sees may be theirs alone, also at a public address.
    const cacheControl = user === undefined ? route.cacheControl : "no-store";
    if (answer.status !== 200 || answer.body === undefined)
      return send(exchange, answer.status, policy, [...answer.headers, "Cache-Control", cacheControl, ...varyOnRead], answer.body);
    const etag = `"${hash("sha256", answer.body, "base64url").slice(0, 27)}"`;
    const sent = exchange.request.headers["if-none-match"];
    if (sent !== undefined && matches(sent, etag))
      return send(exchange, 304, policy, ["ETag", etag, "Cache-Control", cacheControl, ...varyOnRead], undefined);
    return send(exchange, 200, policy, [...answer.headers, "ETag", etag, "Cache-Control", cacheControl, ...varyOnRead], answer.body);
  }

  function preflight(exchange: Exchange, path: string): void {
    const verbs = table.verbsAt(path);
    if (verbs.length === 0) throw refuse({ reason: "ROUTE_NOT_FOUND", code: "not_found" });
    send(
      exchange,
      204,
      "api",
      [...cors.preflight(exchange.request.headers.origin, verbs.join(", ")), "Cache-Control", "no-store", ...varyOnWrite],
      undefined,
    );
  }

  function send(
    exchange: Exchange,
    status: number,
    policy: Policy,
    headers: readonly string[],
    body: string | Uint8Array | undefined,
  ): void {
    const { request, response, correlation, trace, template, startedMs } = exchange;
    const list = [...security[policy], ...headers, "X-Correlation-Id", correlation];
    if (!cors.none) list.push(...cors.answer(request.headers.origin));
    if (draining()) list.push("Connection", "close");
    if (body !== undefined) list.push("Content-Length", String(typeof body === "string" ? Buffer.byteLength(body) : body.length));
    else if (status !== 204 && status !== 304) list.push("Content-Length", "0");
    response.writeHead(status, list);
    response.end(body);
    if (!unlogged.has(template))
      log.info(
        {
          method: request.method,
          route: template,
          status,
          ms: Math.round((performance.now() - startedMs) * 10) / 10,
          call: { correlation, trace },
        },
        "request",
      );
  }

  function sendProblem(exchange: Exchange, error: unknown): void {
    const { request, response, correlation, trace, template } = exchange;
    const refusal = refusalIn(error) ?? refusalFor(error, { log, call: { correlation, trace }, method: `${request.method} ${template}` });
    if (response.headersSent) return void response.destroy();
    const { status, headers, body } = problemOf(refusal, { reasons, traceId: trace.traceId });
    const allow = refusal.reason === "METHOD_NOT_ALLOWED" ? refusal.details["allow"] : undefined;
    if (Array.isArray(allow)) headers.push("Allow", allow.join(", "));
    send(exchange, status, "api", [...headers, ...varyOnWrite], body);
    if (hasBody(request)) discardBody(request);
  }

  return async (request, response) => {
    const trace = traceOf(request.headers);
    const exchange: Exchange = {
      request,
      response,
      startedMs: performance.now(),
      trace,
      correlation: correlationOf(request.headers, trace),
      template: "-",
    };
    try {
      await serve(exchange);
    } catch (error) {
      sendProblem(exchange, error);
    }
  };
}

const bearerForm = /^Bearer +([^\s]+) *$/i;

function tokenIn(authorization: string): string {
  const token = bearerForm.exec(authorization)?.[1];
  if (token === undefined)
    throw ofBadToken(refuse({ reason: "UNAUTHENTICATED", code: "unauthenticated", message: "The access token is not valid (any more)" }));
  return token;
}

const keyForm = /^[\x21-\x7e]{1,255}$/;

function keyIn(sent: string | string[] | undefined, required: boolean): string | undefined {
  if (sent === undefined) {
    if (required) throw refuse({ reason: "IDEMPOTENCY_KEY_REQUIRED", code: "invalid_argument" });
    return undefined;
  }
  if (typeof sent === "string" && keyForm.test(sent)) return sent;
  const message = "must be 1 to 255 visible ASCII characters";
  throw refuse({
    reason: "INVALID_REQUEST",
    code: "invalid_argument",
    message: `Idempotency-Key ${message}`,
    fields: [{ field: "Idempotency-Key", reason: "FORMAT", message }],
  });
}

function matches(sent: string, etag: string): boolean {
  return sent === etag || sent === "*" || sent.split(",").some((one) => one.trim().replace(/^W\//, "") === etag);
}
