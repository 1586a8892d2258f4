import { Client, errors } from "@opensearch-project/opensearch";
import { serverTls } from "../config/server-tls.ts";
import { refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";

export interface HttpRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: object;
  /** A body of lines, for bulk requests. */
  readonly lines?: string;
  /** How long all of it may take; 2,000 by default. */
  readonly timeoutMs?: number;
}

export interface HttpOptions {
  readonly urls: readonly string[];
  /** Authorities to trust, in PEM. */
  readonly ca?: string | undefined;
  readonly log: Logger;
}

export interface OpenSearchHttp {
  /**
   * The response's body. Refuses with DEPENDENCY_UNAVAILABLE when there is none in time, or the server is unavailable; throws an
   * `OpenSearchFault` when the server rejects the request. After a lost connection it is tried once more, within the same time.
   */
  request<T>(request: HttpRequest): Promise<T>;
  /** Aborts pending requests and closes all connections. */
  stop(): Promise<void>;
}

/** The server has rejected a request, and would again. */
export class OpenSearchFault extends Error {
  readonly status: number;
  /** OpenSearch's own name for it: "index_not_found_exception". */
  readonly type: string;

  constructor(status: number, type: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "OpenSearchFault";
    this.status = status;
    this.type = type;
  }
}

const timeoutMsDefault = 2_000;
const connectionsMax = 64;
/** Statuses of a wrong request; all others may be transient, that of a wrong password among them. */
const faults = new Set([400, 404, 405, 406, 409, 410, 411, 412, 413, 414, 415]);

/** Requests to OpenSearch. One line is logged when it becomes unreachable and one when it responds again. */
export function createOpenSearchHttp({ urls, ca, log }: HttpOptions): OpenSearchHttp {
  const client = new Client({
    nodes: [...urls],
    maxRetries: 1,
    // The time-out below is shorter, and covers both attempts together.
    requestTimeout: 120_000,
    resurrectStrategy: "optimistic",
    agent: { keepAlive: true, maxSockets: connectionsMax },
    ssl: serverTls(ca),
  });
  const pending = new Set<{ readonly abort: () => void; readonly done: Promise<unknown> }>();
  let sent = 0;
  let lostAt: number | undefined;
  let stopping: Promise<void> | undefined;

  const responded = (at: number): void => {
    // A request that was sent before the failure shows nothing about the time after it.
    if (lostAt === undefined || at <= lostAt) return;
    lostAt = undefined;
    log.info({}, "OpenSearch responds again");
  };
  const lost = (error: unknown): Error => {
    if (lostAt === undefined && stopping === undefined) {
      const status = error instanceof errors.ResponseError ? { status: error.statusCode } : {};
      log.warn({ error, ...status }, "OpenSearch is unreachable; each request tries it again");
    }
    lostAt = sent;
    return unavailable(error);
  };

  return {
    async request<T>({ method, path, query, body, lines, timeoutMs = timeoutMsDefault }: HttpRequest) {
      const at = ++sent;
      if (stopping !== undefined) throw lost(new Error("the connection to OpenSearch is closed"));
      const request = client.transport.request(
        { method, path, ...(query && { querystring: query }), ...(lines === undefined ? body && { body } : { bulkBody: lines }) },
        {},
      );
      const entry = { abort: () => request.abort(), done: Promise.allSettled([request]) };
      pending.add(entry);
      const timer = setTimeout(entry.abort, timeoutMs);
      try {
        const { body: responseBody } = await request;
        responded(at);
        return responseBody as T;
      } catch (error) {
        if (error instanceof errors.RequestAbortedError) throw lost(new Error(`no response within ${timeoutMs} ms`, { cause: error }));
        if (!(error instanceof errors.ResponseError) || !faults.has(error.statusCode ?? 0)) throw lost(error);
        responded(at);
        throw faultOf(error, `${method} ${path}`);
      } finally {
        clearTimeout(timer);
        pending.delete(entry);
      }
    },

    stop() {
      stopping ??= (async () => {
        const left = [...pending];
        for (const { abort } of left) abort();
        await Promise.all(left.map(({ done }) => done));
        await client.close();
      })();
      return stopping;
    },
  };
}

/** Whether the server has rejected the credentials. */
export function isForbidden(error: unknown): boolean {
  return error instanceof errors.ResponseError && (error.statusCode === 401 || error.statusCode === 403);
}

/** What to throw for an error within a response: a fault of the request, or a refusal when it is transient. */
export function itemError(status: number, { type, reason = "" }: { readonly type: string; readonly reason?: string | undefined }): Error {
  const fault = new OpenSearchFault(status, type, `OpenSearch responded ${status} ${type}: ${reason}`);
  return faults.has(status) ? fault : unavailable(fault);
}

function unavailable(cause: unknown): Error {
  return refuse({
    reason: "DEPENDENCY_UNAVAILABLE",
    code: "unavailable",
    message: "The search engine is unavailable",
    retryAfterMs: 1_000,
    cause,
  });
}

function faultOf(error: errors.ResponseError, request: string): OpenSearchFault {
  const body = error.body as { readonly error?: { readonly type?: string; readonly reason?: string } } | undefined;
  const { type = "unknown", reason = "no reason" } = body?.error ?? {};
  return new OpenSearchFault(error.statusCode ?? 0, type, `OpenSearch rejects ${request}: ${type}: ${reason}`, error);
}
