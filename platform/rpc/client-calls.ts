import { performance } from "node:perf_hooks";
import type { Call } from "../call/call.ts";
import type { TransportOptions } from "./transport.ts";
import { formatTraceparent } from "../call/trace.ts";
import { encodeFacts, wireHeaders } from "./wire-call.ts";

/** Processes that are started together wait for each other for so long, instead of failing each other's first calls. */
const startMs = 30_000;

/** What the transports of all wires do alike with the calls to one service; framing is each wire's own. */
export class ClientCalls {
  readonly #options: TransportOptions;
  readonly #startsUntilMs = performance.now() + startMs;
  #responded = false;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /** Whether a callee that cannot be reached may still be starting: nothing has responded yet, for 30 s at most. */
  get calleeMayBeStarting(): boolean {
    return !this.#responded && performance.now() < this.#startsUntilMs;
  }

  /** The headers that say which service is called, by whom and for what cause. */
  headers(call: Call): Record<string, string> {
    const headers = this.partyHeaders(call.caller);
    headers[wireHeaders.facts] = encodeFacts(call);
    headers[wireHeaders.trace] = formatTraceparent(call.trace);
    return headers;
  }

  /** The headers that say which service is called, and by whom. */
  partyHeaders(caller: string): Record<string, string> {
    const { service, callers } = this.#options;
    const headers: Record<string, string> = { [wireHeaders.service]: service, [wireHeaders.caller]: caller };
    const token = callers.token(caller);
    if (token !== undefined) headers[wireHeaders.token] = token;
    return headers;
  }

  /** To be called when a response of the callee's begins, with the value of its header `kontor-instance`. */
  responded(instance: unknown): void {
    this.#responded = true;
    if (typeof instance === "string") this.#options.onResponse?.(instance);
  }
}

/** Calls `cancel` once when the caller of `call` disconnects, or has done so already, until the function that it returns is called. */
export function onDisconnect({ callerSignal: disconnected }: Call, cancel: () => void): () => void {
  if (disconnected === undefined) return () => undefined;
  if (disconnected.aborted) cancel();
  disconnected.addEventListener("abort", cancel, { once: true });
  return () => disconnected.removeEventListener("abort", cancel);
}
