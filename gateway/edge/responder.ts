import { performance } from "node:perf_hooks";
import { refusalIn, refuse } from "@kontor/platform/errors/refusal.ts";
import type { Refusal } from "@kontor/platform/errors/refusal.ts";
import { refusalFor } from "@kontor/platform/rpc/faults.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { discardBody, hasBody } from "./body.ts";
import type { Cors } from "./cors.ts";
import type { Exchange } from "./exchange.ts";
import { explain, problemOf } from "./problem.ts";
import type { Problem, Reason } from "./problem.ts";
import type { Policy } from "./security-headers.ts";

export interface ResponderOptions {
  readonly reasons: ReadonlyMap<string, Reason>;
  readonly security: Readonly<Record<Policy, readonly string[]>>;
  readonly cors: Cors;
  readonly log: Logger;
  /** Whether this process is about to stop: responses close their connections then. */
  readonly draining: () => boolean;
}

/** Writes responses, each with the headers that all have, and a line in the log. Headers are flat lists of names and values. */
export interface Responder {
  send(exchange: Exchange, status: number, policy: Policy, headers: readonly string[], body: string | Uint8Array | undefined): void;
  /** Writes the head alone: the body follows as a stream. */
  begin(exchange: Exchange, status: number, policy: Policy, headers: readonly string[]): void;
  /** The error as a problem. A fault is logged, and its problem says nothing about it. */
  problemFor(exchange: Exchange, error: unknown): Problem;
  /** The error for a protocol with errors of its own: as a refusal in words for the client, and the headers that say what to do about it. */
  explained(exchange: Exchange, error: unknown): { readonly refusal: Refusal; readonly headers: readonly string[] };
  /** Sends the error as a problem; cuts the connection when a response has begun. */
  sendProblem(exchange: Exchange, error: unknown): void;
}

/** Probes that come every few seconds and would flood the log. */
const unlogged = new Set(["/livez", "/readyz"]);

export function createResponder({ reasons, security, cors, log, draining }: ResponderOptions): Responder {
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

  function begin(exchange: Exchange, status: number, policy: Policy, headers: readonly string[]): void {
    const { request, response, correlation, trace, template, startedMs, rateLimitHeaders, tokenHeaders } = exchange;
    const list = [...security[policy], ...headers, ...rateLimitHeaders, "X-Correlation-Id", correlation];
    // A response of 401 has said it.
    if (status !== 401) list.push(...tokenHeaders);
    if (!cors.none) list.push(...cors.headersFor(request.headers.origin));
    if (draining()) list.push("Connection", "close");
    response.writeHead(status, list);
    if (unlogged.has(template)) return;
    const ms = Math.round((performance.now() - startedMs) * 10) / 10;
    log.info({ method: request.method, route: template, status, ms, call: { correlation, trace } }, "request");
  }

  function refusalOf({ request, correlation, trace, template }: Exchange, error: unknown): Refusal {
    return refusalIn(error) ?? refusalFor(error, { log, call: { correlation, trace }, method: `${request.method} ${template}` });
  }

  function problemFor(exchange: Exchange, error: unknown): Problem {
    return problemOf(refusalOf(exchange, error), { reasons, traceId: exchange.trace.traceId });
  }

  function explained(exchange: Exchange, error: unknown): ReturnType<Responder["explained"]> {
    const refusal = refusalOf(exchange, error);
    const { detail, headers } = explain(refusal, reasons);
    const { reason, code, details, fields, retryAfterMs } = refusal;
    const init = { reason, code, message: detail, details, fields };
    return { refusal: refuse(retryAfterMs === undefined ? init : { ...init, retryAfterMs }), headers };
  }

  function sendProblem(exchange: Exchange, error: unknown): void {
    const { request, response } = exchange;
    const { status, headers, body } = problemFor(exchange, error);
    if (response.headersSent) return void response.destroy();
    send(exchange, status, "api", [...headers, ...cors.varyOnWrite], body);
    if (hasBody(request)) discardBody(request);
  }

  return { send, begin, problemFor, explained, sendProblem };
}
