import { request as plainRequest } from "node:http";
import type { IncomingMessage, OutgoingHttpHeaders, RequestOptions } from "node:http";
import { request as secureRequest } from "node:https";
import { Refusal, refuse } from "../errors/refusal.ts";
import type { Call } from "../call/call.ts";
import { Deadlines } from "../call/deadlines.ts";
import type { Pending } from "../call/deadlines.ts";
import { TransportFailure } from "./transport.ts";

export interface ExchangeOptions {
  readonly secure: boolean;
  readonly request: RequestOptions;
  readonly headers: OutgoingHttpHeaders;
  readonly body: string;
  readonly call: Call;
}

/** The end of all exchanges by one timer. */
const deadlines = new Deadlines();

/** One request and its answer: cut off at the call's deadline, and when its caller goes away. */
export class Exchange {
  /** The head of the answer. */
  readonly response: Promise<IncomingMessage>;
  readonly #call: Call;
  readonly #pending: Pending;
  readonly #cut: (why: Error) => void;
  #why: Error | undefined;

  constructor({ secure, request, headers, body, call }: ExchangeOptions) {
    const started = (secure ? secureRequest : plainRequest)({ ...request, method: "POST", headers });
    this.#call = call;
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
    if (call.callerSignal?.aborted === true) this.#leave();
    call.callerSignal?.addEventListener("abort", this.#leave, { once: true });
    started.end(body);
  }

  /** Lets go of what watches over it. What has not come yet is not waited for. */
  end(response: IncomingMessage | undefined): void {
    deadlines.forget(this.#pending);
    this.#call.callerSignal?.removeEventListener("abort", this.#leave);
    if (response?.complete !== true) this.#cut(new Error("nobody reads on"));
  }

  /** What a failure on the way means: the reason why it was cut off, or that the callee was not reached. What says so itself stays. */
  failure(error: unknown): Error {
    if (error instanceof TransportFailure || error instanceof Refusal) return error;
    if (this.#why !== undefined) return this.#why;
    const syscall = error instanceof Error && "syscall" in error ? error.syscall : undefined;
    // Of several addresses behind one name each has its own failure.
    const unconnected = syscall === "connect" || syscall === "getaddrinfo" || error instanceof AggregateError;
    return new TransportFailure(error instanceof Error ? error.message : String(error), { cause: error, notExecuted: unconnected });
  }

  readonly #leave = (): void => this.#cut(refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded" }));
}
