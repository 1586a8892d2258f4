import { request as plainRequest } from "node:http";
import type { IncomingMessage, OutgoingHttpHeaders, RequestOptions } from "node:http";
import { request as secureRequest } from "node:https";
import { Refusal, refuse } from "../errors/refusal.ts";
import type { Call } from "../call/call.ts";
import { Deadlines } from "../call/deadlines.ts";
import type { Pending } from "../call/deadlines.ts";
import { onDisconnect } from "./client-calls.ts";
import { TransportFailure } from "./transport.ts";

export interface ExchangeOptions {
  readonly secure: boolean;
  readonly request: RequestOptions;
  readonly headers: OutgoingHttpHeaders;
  readonly body: string | Buffer;
  readonly call: Call;
}

/** The deadlines of all exchanges, by one timer. */
const deadlines = new Deadlines();

/** One request and its response: ended at the call's deadline, and when its caller disconnects. */
export class Exchange {
  /** The head of the response. */
  readonly response: Promise<IncomingMessage>;
  readonly #pending: Pending;
  readonly #cut: (why: Error) => void;
  readonly #release: () => void;
  #why: Error | undefined;

  constructor({ secure, request, headers, body, call }: ExchangeOptions) {
    const started = (secure ? secureRequest : plainRequest)({ ...request, method: "POST", headers });
    this.#cut = (why) => {
      this.#why ??= why;
      started.destroy();
    };
    this.#pending = { deadlineMs: call.deadlineMs, expire: this.#cut };
    this.response = new Promise((resolve, reject) => {
      started.on("response", resolve);
      started.on("error", reject);
    });
    if (Number.isFinite(call.deadlineMs)) deadlines.watch(this.#pending);
    this.#release = onDisconnect(call, () => this.#cut(refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded" })));
    started.end(body);
  }

  /** Stops watching the deadline and the caller. What of the response has not arrived yet is not waited for. */
  end(response: IncomingMessage | undefined): void {
    deadlines.forget(this.#pending);
    this.#release();
    if (response?.complete !== true) this.#cut(new Error("the response is not read any further"));
  }

  /** What a failure on the way means: the reason why the exchange was ended, or that the callee was unavailable. A refusal stays as it is. */
  failure(error: unknown): Error {
    if (error instanceof TransportFailure || error instanceof Refusal) return error;
    if (this.#why !== undefined) return this.#why;
    const syscall = error instanceof Error && "syscall" in error ? error.syscall : undefined;
    // Of several addresses behind one name each has a failure of its own.
    const unconnected = syscall === "connect" || syscall === "getaddrinfo" || error instanceof AggregateError;
    return new TransportFailure(error instanceof Error ? error.message : String(error), { cause: error, notExecuted: unconnected });
  }
}
