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
   * The answer's body. Refuses with DEPENDENCY_UNAVAILABLE when there is none in time, or none but that it cannot answer now; throws an
   * `OpenSearchFault` when the server does not take the request. A lost connection is tried once more, within the same time.
   */
  request<T>(request: HttpRequest): Promise<T>;
  /** Ends what is under way, and all connections. */
  stop(): Promise<void>;
}

/** The server has refused a request, and would again. */
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
/** What is wrong with the request itself; everything else that a server says may pass, a wrong password among it. */
const faults = new Set([400, 404, 405, 406, 409, 410, 411, 412, 413, 414, 415]);

/** Requests to an OpenSearch. That it went away and came back is logged once each. */
export function createOpenSearchHttp({ urls, ca, log }: HttpOptions): OpenSearchHttp {
  const client = new Client({
    nodes: [...urls],
    maxRetries: 1,
    // Ours is the shorter one, and goes for both tries together.
    requestTimeout: 120_000,
    resurrectStrategy: "optimistic",
    agent: { keepAlive: true, maxSockets: connectionsMax },
    ssl: serverTls(ca),
  });
  const underWay = new Set<{ readonly abort: () => void; readonly done: Promise<unknown> }>();
  let asked = 0;
  let lostAt: number | undefined;
  let stopping: Promise<void> | undefined;

  const answered = (at: number): void => {
    // What was asked before the loss says nothing about the time after it.
    if (lostAt === undefined || at <= lostAt) return;
    lostAt = undefined;
    log.info({}, "OpenSearch answers again");
  };
  const lost = (error: unknown): Error => {
    if (lostAt === undefined && stopping === undefined) {
      const status = error instanceof errors.ResponseError ? { status: error.statusCode } : {};
      log.warn({ error, ...status }, "OpenSearch does not answer as it should; it is asked again and again");
    }
    lostAt = asked;
    return unavailable(error);
  };

  return {
    async request<T>({ method, path, query, body, lines, timeoutMs = timeoutMsDefault }: HttpRequest) {
      const at = ++asked;
      if (stopping !== undefined) throw lost(new Error("the connection to OpenSearch is closed"));
      const request = client.transport.request(
        { method, path, ...(query && { querystring: query }), ...(lines === undefined ? body && { body } : { bulkBody: lines }) },
        {},
      );
      const entry = { abort: () => request.abort(), done: Promise.allSettled([request]) };
      underWay.add(entry);
      const timer = setTimeout(entry.abort, timeoutMs);
      try {
        const { body: answer } = await request;
        answered(at);
        return answer as T;
      } catch (error) {
        if (error instanceof errors.RequestAbortedError) throw lost(new Error(`no answer within ${timeoutMs} ms`, { cause: error }));
        if (!(error instanceof errors.ResponseError) || !faults.has(error.statusCode ?? 0)) throw lost(error);
        answered(at);
        throw faultOf(error, `${method} ${path}`);
      } finally {
        clearTimeout(timer);
        underWay.delete(entry);
      }
    },

    stop() {
      stopping ??= (async () => {
        const left = [...underWay];
        for (const { abort } of left) abort();
        await Promise.all(left.map(({ done }) => done));
        await client.close();
      })();
      return stopping;
    },
  };
}

/** Whether the server has refused who asks. */
export function isForbidden(error: unknown): boolean {
  return error instanceof errors.ResponseError && (error.statusCode === 401 || error.statusCode === 403);
}

/** What to throw for an error within an answer: a fault of the request, or a refusal for what may pass. */
export function itemError(status: number, { type, reason = "" }: { readonly type: string; readonly reason?: string | undefined }): Error {
  const fault = new OpenSearchFault(status, type, `OpenSearch answers ${status} ${type}: ${reason}`);
  return faults.has(status) ? fault : unavailable(fault);
}

function unavailable(cause: unknown): Error {
  return refuse({
    reason: "DEPENDENCY_UNAVAILABLE",
    code: "unavailable",
    message: "The search engine is away",
    retryAfterMs: 1_000,
    cause,
  });
}

function faultOf(error: errors.ResponseError, asked: string): OpenSearchFault {
  const body = error.body as { readonly error?: { readonly type?: string; readonly reason?: string } } | undefined;
  const { type = "unknown", reason = "no reason given" } = body?.error ?? {};
  return new OpenSearchFault(error.statusCode ?? 0, type, `OpenSearch refuses ${asked}: ${type}: ${reason}`, error);
}
