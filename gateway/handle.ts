import { hash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { performance } from "node:perf_hooks";
import type { Message } from "@bufbuild/protobuf";
import { refusalIn, refuse } from "@kontor/platform/errors/refusal.ts";
import type { Refusal } from "@kontor/platform/errors/refusal.ts";
import { checkAccess, edgeCaller } from "@kontor/platform/rpc/access.ts";
import type { ConcurrencyLimiter } from "@kontor/platform/rpc/concurrency-limiter.ts";
import { Call } from "@kontor/platform/call/call.ts";
import type { Trace } from "@kontor/platform/call/call.ts";
import { refusalFor } from "@kontor/platform/rpc/faults.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Answer } from "./rest/response-writer.ts";
import { discardBody, hasBody, readBody, requireIdentity, requireJson, requireNoBody } from "./edge/body.ts";
import { clientAddress } from "./edge/client-address.ts";
import { resumed, streamMs } from "./rest/event-stream.ts";
import type { EventStreams } from "./rest/event-stream.ts";
import type { BruteForceLimits } from "./edge/brute-force-limits.ts";
import type { Cors, Policy } from "./edge/headers.ts";
import type { HeldBytes } from "./edge/held-bytes.ts";
import { problemOf } from "./edge/problem.ts";
import type { Reason } from "./edge/problem.ts";
import type { Match, RouteTable, RpcRoute } from "./rest/routes.ts";
import { correlationOf, traceOf } from "./edge/trace.ts";
import { blameRejectedToken } from "./edge/authenticate.ts";
import type { Principal, Authenticate } from "./edge/authenticate.ts";

export interface HandlerOptions {
  readonly table: RouteTable;
  readonly authenticate: Authenticate;
  readonly guesses: BruteForceLimits;
  readonly reasons: ReadonlyMap<string, Reason>;
  readonly security: Readonly<Record<Policy, readonly string[]>>;
  readonly cors: Cors;
  /** A door for each service: who waits for one is not in the way of the others. */
  readonly limiters: ReadonlyMap<string, ConcurrencyLimiter>;
  readonly streams: EventStreams;
  readonly memory: HeldBytes;
  readonly log: Logger;
  readonly timeoutMs: number;
  readonly bodyBytesMax: number;
  readonly proxies: number;
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
  /** What its answer says besides, whatever it is: a flat list of names and values. */
  headers: readonly string[];
}

/** Probes that come every few seconds and would drown the rest of the log. */
const unlogged = new Set(["/livez", "/readyz"]);

/** Answers every request: nothing is thrown out of it. */
export function createHandler(options: HandlerOptions): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const {
    table,
    authenticate,
    guesses,
    reasons,
    security,
    cors,
    limiters,
    streams,
    memory,
    log,
    timeoutMs,
    bodyBytesMax,
    proxies,
    draining,
  } = options;
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

  async function serveRpc(exchange: Exchange, route: RpcRoute, match: Match, query: string): Promise<void> {
    const { request } = exchange;
    const limiter = limiters.get(route.service)!; // made from the same table
    limiter.refuseWhenFull(route.urgent);
    const principal = await authenticate(request, route);
    exchange.headers = principal.headers;
    if (principal.refused !== undefined) throw principal.refused;
    checkAccess(route.contract, { caller: edgeCaller, user: principal.user });
    if (route.stream !== undefined) return serveStream(exchange, route, match, query, principal);
    const idempotencyKey = keyIn(request.headers["idempotency-key"], route.keyRequired);
    // Before a place is taken: a slow sender would hold it.
    const body = await bodyOf(exchange, route);
    try {
      const message = route.read({ path: match.params, query, body, headers: request.headers });
      const call = callFor(exchange, principal, idempotencyKey);
      const wait = limiter.enter(route.urgent, call.deadlineMs);
      if (wait !== undefined) await wait;
      try {
        answer(exchange, route, principal, await invoke(exchange, route, principal, message, call));
      } finally {
        limiter.leave();
      }
    } finally {
      memory.give(body?.length ?? 0);
    }
  }

  function serveStream(
    exchange: Exchange,
    { stream, read, write }: RpcRoute,
    match: Match,
    query: string,
    principal: Principal,
  ): Promise<void> {
    const { request, response, trace, correlation } = exchange;
    const { open, idOf, resumeBy } = stream!; // whoever calls this has looked
    requireNoBody(request);
    const asked = resumed(query, { idOf, resumeBy }, request.headers["last-event-id"]);
    const message = read({ path: match.params, query: asked, body: undefined, headers: request.headers });
    const deadlineMs = performance.now() + streamMs;
    return streams.serve({
      request,
      response,
      idOf,
      begin: (headers) => begin(exchange, 200, "api", [...headers, ...varyOnRead]),
      nothing: () => send(exchange, 204, "api", ["Cache-Control", "no-store", ...varyOnRead], undefined),
      open: (signal) => open(message, new Call({ caller: edgeCaller, user: principal.user, deadlineMs, trace, correlation, signal })),
      encode: (answer) => String(write(answer).body),
      problem: (error) => problemOf(refusalOf(exchange, error), { reasons, traceId: trace.traceId }).body,
    });
  }

  function callFor({ trace, correlation }: Exchange, { user }: Principal, idempotencyKey: string | undefined): Call {
    return new Call({ caller: edgeCaller, user, deadlineMs: performance.now() + timeoutMs, idempotencyKey, trace, correlation });
  }

  async function bodyOf({ request, response }: Exchange, route: RpcRoute): Promise<Buffer | undefined> {
    if (!route.takesBody) {
      requireNoBody(request);
      return undefined;
    }
    if (!hasBody(request)) return undefined;
    if (route.rawBody) requireIdentity(request);
    else requireJson(request);
    if (request.headers.expect?.toLowerCase() === "100-continue") response.writeContinue();
    return readBody(request, { bytesMax: bodyBytesMax, memory });
  }

  async function invoke(
    { request }: Exchange,
    route: RpcRoute,
    { rejectedToken }: Principal,
    message: Message,
    call: Call,
  ): Promise<Message> {
    if (route.takesSecret) return guesses.at(clientAddress(request, proxies), () => route.invoke(message, call));
    try {
      return await route.invoke(message, call);
    } catch (error) {
      throw blameRejectedToken(error, rejectedToken);
    }
  }

  function answer(exchange: Exchange, route: RpcRoute, principal: Principal, message: Message): void {
    const written = route.write(message);
    if (route.verb === "GET") return sendRead(exchange, route, principal, written);
    const headers = [...written.headers, "Cache-Control", "no-store", ...varyOnWrite];
    send(exchange, written.status, written.page ? "answer" : "api", headers, written.body);
  }

  function sendRead(exchange: Exchange, route: RpcRoute, { user, advice }: Principal, { status, headers, body, page }: Answer): void {
    const policy = page ? "answer" : "api";
    // What a signed-in caller sees may be theirs alone, also at a public address.
    const caching = ["Cache-Control", user === undefined ? route.cacheControl : "no-store", ...varyOnRead, ...advice];
    if (status !== 200 || body === undefined) return send(exchange, status, policy, [...headers, ...caching], body);
    const etag = `"${hash("sha256", body, "base64url").slice(0, 27)}"`;
    const sent = exchange.request.headers["if-none-match"];
    if (sent !== undefined && matches(sent, etag)) return send(exchange, 304, policy, ["ETag", etag, ...caching], undefined);
    return send(exchange, 200, policy, [...headers, "ETag", etag, ...caching], body);
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
    const list = [...headers];
    if (body !== undefined) list.push("Content-Length", String(typeof body === "string" ? Buffer.byteLength(body) : body.length));
    else if (status !== 204 && status !== 304) list.push("Content-Length", "0");
    begin(exchange, status, policy, list);
    exchange.response.end(body);
  }

  /** The head of an answer, with what all answers have, and the line that the log has of the request. */
  function begin(exchange: Exchange, status: number, policy: Policy, headers: readonly string[]): void {
    const { request, response, correlation, trace, template, startedMs } = exchange;
    const list = [...security[policy], ...headers, ...exchange.headers, "X-Correlation-Id", correlation];
    if (!cors.none) list.push(...cors.answer(request.headers.origin));
    if (draining()) list.push("Connection", "close");
    response.writeHead(status, list);
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

  function refusalOf({ request, correlation, trace, template }: Exchange, error: unknown): Refusal {
    return refusalIn(error) ?? refusalFor(error, { log, call: { correlation, trace }, method: `${request.method} ${template}` });
  }

  function sendProblem(exchange: Exchange, error: unknown): void {
    const { request, response, trace } = exchange;
    const refusal = refusalOf(exchange, error);
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
      headers: none,
    };
    try {
      await serve(exchange);
    } catch (error) {
      sendProblem(exchange, error);
    }
  };
}

const none: readonly string[] = [];
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
