import { timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { closeSession, openSession, readLedger, readSession, refundSession, setFaults } from "./api.ts";
import type { ApiNeeds } from "./api.ts";
import type { Operation } from "./faults.ts";
import { HttpProblem, jsonResponse, parseObject, problemResponse, readBody, send } from "./http.ts";
import type { HttpResponse } from "./http.ts";
import type { InFlight } from "./in-flight-counter.ts";
import { assets, pay, problemPage, showPage } from "./pay-page.ts";
import type { PageNeeds, PaidResponse } from "./pay-page.ts";

export interface HandlerNeeds extends ApiNeeds, PageNeeds {
  readonly log: Logger;
  readonly apiKey: string;
  readonly inFlight: InFlight;
  /** Aborted when the server stops: nothing waits any longer. */
  readonly stopping: AbortSignal;
}

/** A parsed request: its operation, for faults, and how it is executed. */
interface Job {
  readonly operation: Operation | undefined;
  /** Whether it has a body: read before anything is executed, so that a client which disconnects is noticed. */
  readonly reads?: boolean;
  readonly run: (body: string) => HttpResponse | PaidResponse | Promise<HttpResponse | PaidResponse>;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** Responds to requests: the api to holders of the key, payment pages to holders of their address. Never rejects. */
export function createHandler(needs: HandlerNeeds): Handler {
  const { log, inFlight, faults } = needs;
  const bearer = Buffer.from(`Bearer ${needs.apiKey}`);
  return async (request, response) => {
    inFlight.enter();
    const url = request.url ?? "/";
    const questionMark = url.indexOf("?");
    const path = questionMark < 0 ? url : url.slice(0, questionMark);
    const query = questionMark < 0 ? "" : url.slice(questionMark + 1);
    const isApi = path.startsWith("/v1/");
    try {
      if (isApi) requireKey(request, bearer);
      const job = isApi ? apiJob(needs, request, path, query) : pageJob(needs, request, path, query);
      const body = job.reads === true ? await readBody(request) : "";
      const fault = job.operation === undefined ? undefined : faults.draw(job.operation);
      if (fault?.kind === "error") throw new HttpProblem(500, "fault", "This failed, as a fault script requested");
      if (fault?.kind === "stall") {
        await pause(needs, new Date(needs.clock.now().getTime() + fault.ms));
        if (needs.stopping.aborted) return void request.socket.destroy();
      }
      const done = await job.run(body);
      if (fault?.kind === "reset") return void request.socket.resetAndDestroy();
      if ("status" in done) return send(response, done);
      if (done.notBefore !== undefined) await pause(needs, done.notBefore, response);
      send(response, done.response);
    } catch (error) {
      const problem = problemOf(error, log, isApi ? path : "a payment page");
      send(response, isApi || !path.startsWith("/pay/") ? problemResponse(problem) : problemPage(problem));
    } finally {
      inFlight.leave();
    }
  };
}

function apiJob(needs: HandlerNeeds, request: IncomingMessage, path: string, query: string): Job {
  const { method } = request;
  const [, , collection, key, action, ...rest] = path.split("/");
  if (rest.length > 0) throw unknownRoute();
  if (collection === "sessions") {
    if (key === undefined) {
      requireMethod(method, "POST");
      return { operation: "open", reads: true, run: (body) => openSession(needs, parseObject(body)) };
    }
    const session = decoded(key);
    if (action === undefined) {
      requireMethod(method, "GET");
      return { operation: "read", run: () => readSession(needs, session) };
    }
    if (action === "close") {
      requireMethod(method, "POST");
      return { operation: "close", run: () => closeSession(needs, session) };
    }
    if (action === "refunds") {
      requireMethod(method, "POST");
      return { operation: "refund", reads: true, run: (body) => refundSession(needs, session, parseObject(body)) };
    }
    throw unknownRoute();
  }
  if (key !== undefined) throw unknownRoute();
  if (collection === "charges" || collection === "refunds") {
    requireMethod(method, "GET");
    return { operation: "ledger", run: () => readLedger(needs, collection, new URLSearchParams(query)) };
  }
  if (collection !== "faults") throw unknownRoute();
  if (method === "GET") return { operation: undefined, run: () => jsonResponse(200, needs.faults.get()) };
  requireMethod(method, "POST");
  return { operation: undefined, reads: true, run: (body) => setFaults(needs, parseObject(body)) };
}

function pageJob(needs: HandlerNeeds, request: IncomingMessage, path: string, query: string): Job {
  const method = request.method === "HEAD" ? "GET" : request.method;
  if (path.startsWith("/pay/")) {
    const page = path.slice("/pay/".length);
    if (method === "POST") return { operation: "pay", reads: true, run: (body) => pay(needs, page, new URLSearchParams(body)) };
    requireMethod(method, "GET");
    return { operation: "page", run: () => showPage(needs, page, new URLSearchParams(query)) };
  }
  const asset = path.startsWith("/assets/") ? assets.get(path.slice("/assets/".length)) : undefined;
  if (asset === undefined) throw unknownRoute();
  requireMethod(method, "GET");
  return { operation: undefined, run: () => asset };
}

/** Waits, without counting as work; also no longer than the client does, when its response is given. */
async function pause({ clock, inFlight, stopping }: HandlerNeeds, until: Date, response?: ServerResponse): Promise<void> {
  const over = new AbortController();
  const end = (): void => over.abort();
  stopping.addEventListener("abort", end, { once: true });
  if (stopping.aborted || response?.destroyed === true) end();
  response?.once("close", end);
  inFlight.leave();
  try {
    await clock.until(until, over.signal);
  } finally {
    inFlight.enter();
    stopping.removeEventListener("abort", end);
    response?.off("close", end);
  }
}

function problemOf(error: unknown, log: Logger, what: string): HttpProblem {
  if (error instanceof HttpProblem) return error;
  if (refusalIn(error)?.code === "unavailable") {
    log.warn({ error }, `the provider's database is unavailable: ${what}`);
    return new HttpProblem(503, "unavailable", "Please try again");
  }
  log.error({ error }, `the provider failed at ${what}`);
  return new HttpProblem(500, "internal", "Something went wrong");
}

function requireKey({ headers: { authorization = "" } }: IncomingMessage, bearer: Buffer): void {
  const presented = Buffer.from(authorization);
  if (presented.length !== bearer.length || !timingSafeEqual(presented, bearer))
    throw new HttpProblem(401, "unauthenticated", "The api key is missing or wrong");
}

function requireMethod(method: string | undefined, wanted: "GET" | "POST"): void {
  if (method !== wanted) throw new HttpProblem(405, "method_not_allowed", `Only ${wanted} is known here`);
}

function decoded(segment: string): string {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    throw unknownRoute();
  }
}

function unknownRoute(): HttpProblem {
  return new HttpProblem(404, "not_found", "There is nothing here");
}
