import { refusalIn, refuse } from "../errors/refusal.ts";
import { Call } from "../call/call.ts";
import { backoffMs } from "../retry/backoff.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { SagaRow, SagaStore } from "./saga-store.ts";
import type { SagaStep } from "./saga.ts";

export interface AttemptOptions {
  /** How long one owner tries before it pauses the saga: 30,000. Undoing has as long again. */
  readonly attemptMs: number;
  /** How long one step may take: 10,000. A shorter time repeats a call sooner when its service does not respond. */
  readonly stepMs: number;
  /** How long past that to wait for a step that ignores its deadline: 1,000. */
  readonly stepGraceMs: number;
  /** The first pause after an unknown outcome, doubling up to the other: 50 and 2,000. */
  readonly retryMs: number;
  readonly retryMsMax: number;
  /** How long a step's service must have been unavailable before waiting callers get "running": 2,000. */
  readonly unavailableMs: number;
  /** The pause after the first attempt, doubling up to the other: 1,000 and 10,000. */
  readonly pauseMs: number;
  readonly pauseMsMax: number;
  /** From which attempt on a saga that does not end raises an alert: 5. */
  readonly alarmAttempts: number;
}

export const attemptDefaults: AttemptOptions = {
  attemptMs: 30_000,
  stepMs: 10_000,
  stepGraceMs: 1_000,
  retryMs: 50,
  retryMsMax: 2_000,
  unavailableMs: 2_000,
  pauseMs: 1_000,
  pauseMsMax: 10_000,
  alarmAttempts: 5,
};

/** What an attempt needs. Time here is the monotonic clock's; only `now` is business time. */
export interface AttemptPorts {
  readonly service: string;
  readonly store: SagaStore;
  readonly log: Logger;
  readonly options: AttemptOptions;
  readonly now: () => Date;
  readonly monotonicMs: () => number;
  /** Resolves after so many milliseconds. */
  readonly pause: (ms: number) => Promise<void>;
  readonly random: () => number;
}

/** Why an attempt ends before its saga does: it pauses, or the saga has another owner. */
export class AttemptInterrupted extends Error {
  readonly end: "paused" | "lost";
  readonly pauseMs: number | undefined;

  constructor(end: "paused" | "lost", init: { readonly pauseMs?: number; readonly cause?: unknown } = {}) {
    super(`the attempt is ${end}`, { cause: init.cause });
    this.end = end;
    this.pauseMs = init.pauseMs;
  }
}

/** The time of one attempt: the deadlines of its steps, the pauses between their tries, and its interruption. */
export class SagaRetries {
  readonly #row: SagaRow;
  readonly #ports: AttemptPorts;
  #deadlineMs: number;
  #stepEndsMs = Infinity;
  #interruption: AttemptInterrupted | undefined;
  #reject: ((error: Error) => void) | undefined;

  constructor(row: SagaRow, ports: AttemptPorts) {
    this.#row = row;
    this.#ports = ports;
    this.#deadlineMs = ports.monotonicMs() + ports.options.attemptMs;
  }

  /** Gives the attempt all of its time again. */
  restart(): void {
    this.#deadlineMs = this.#ports.monotonicMs() + this.#ports.options.attemptMs;
  }

  /** Ends the wait under way, and all later ones. The first call counts. */
  interrupt(end: "paused" | "lost"): void {
    this.#interruption ??= new AttemptInterrupted(end, { pauseMs: 0 });
    this.#reject?.(this.#interruption);
  }

  /** Ends the wait for a step that ignores its deadline. Called from time to time. */
  watch(): void {
    if (this.#ports.monotonicMs() > this.#stepEndsMs) this.#reject?.(refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded" }));
  }

  /** The result of the work, unless the attempt is interrupted or the step's time is over before. */
  async within<T>(work: Promise<T>): Promise<T> {
    const interrupted = Promise.withResolvers<never>();
    this.#reject = interrupted.reject;
    if (this.#interruption !== undefined) interrupted.reject(this.#interruption);
    try {
      return await Promise.race([work, interrupted.promise]);
    } finally {
      this.#reject = undefined;
      this.#stepEndsMs = Infinity;
    }
  }

  /** The call of a step, or without one of the saga itself, with the time that is left for it. */
  callOf(step: SagaStep<unknown> | undefined): Call {
    const { service: caller, options, monotonicMs } = this.#ports;
    const { id, call } = this.#row;
    const deadlineMs = Math.min(this.#deadlineMs, monotonicMs() + options.stepMs);
    if (step !== undefined) this.#stepEndsMs = deadlineMs + options.stepGraceMs;
    return new Call({
      caller,
      user: call.user,
      origin: call.origin,
      correlation: call.correlation,
      trace: call.trace,
      causation: id,
      deadlineMs,
      idempotencyKey: step === undefined ? undefined : `${id}/${step.name}`,
    });
  }

  /** Pauses before the next try of `what`. Throws when the attempt is interrupted, or has no time left for another try. */
  async pauseAfter(tries: number, error: unknown, what: string): Promise<void> {
    if (error instanceof AttemptInterrupted) throw error;
    const { options, random, monotonicMs, log, pause } = this.#ports;
    const plainMs = backoffMs({ pauseMsMin: options.retryMs, pauseMsMax: options.retryMsMax, jitter }, tries, random);
    const pauseMs = Math.max(plainMs, refusalIn(error)?.retryAfterMs ?? 0);
    const fields = { saga: this.#row.id, name: this.#row.name, step: what, tries, error };
    if (refusalIn(error) === undefined) log.error(fields, "a saga's step failed by a fault and is retried");
    else log.debug(fields, "a saga's step has no known outcome and is retried");
    if (monotonicMs() + pauseMs >= this.#deadlineMs) throw new AttemptInterrupted("paused", { cause: error });
    await this.within(pause(pauseMs));
  }

  /** How long the saga pauses after this attempt. */
  pauseBeforeNextAttemptMs(error: unknown): number {
    const { options, random } = this.#ports;
    const backoff = { pauseMsMin: options.pauseMs, pauseMsMax: options.pauseMsMax, jitter };
    const plainMs = Math.round(backoffMs(backoff, this.#row.attempts, random));
    return error instanceof AttemptInterrupted ? (error.pauseMs ?? plainMs) : plainMs;
  }
}

const jitter = 0.2;
