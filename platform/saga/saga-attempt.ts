import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import { outcomeUnknown, refusalIn, refuse } from "../errors/refusal.ts";
import type { Refusal } from "../errors/refusal.ts";
import { Call } from "../call/call.ts";
import type { Logger } from "../telemetry/logger.ts";
import { backoffMs } from "../retry/backoff.ts";
import type { AnySaga, SagaStep } from "./saga.ts";
import type { SagaRow, SagaStore } from "./saga-store.ts";
import { isGivenUp, keptForItsKey, restoreRefusal, storeRefusal } from "./stored-refusal.ts";

/** How an attempt ended: with the saga, or without it ("left" for a pause, "lost" to another owner). */
export type AttemptEnd =
  | { readonly status: "done"; readonly answer: Message }
  | { readonly status: "refused"; readonly refusal: Refusal }
  | { readonly status: "left" }
  | { readonly status: "lost" };

export interface AttemptOptions {
  /** How long one owner tries before it leaves the saga for a pause: 30,000. The taking back has as long again. */
  readonly attemptMs: number;
  /** How long one step may take: 10,000. Shorter asks a silent service again sooner. */
  readonly stepMs: number;
  /** How long past that a step that does not keep to it is waited for: 1,000. */
  readonly stepGraceMs: number;
  /** The first pause after an unknown outcome, doubling up to the other: 50 and 2,000. */
  readonly retryMs: number;
  readonly retryMsMax: number;
  /** How long a step's other side must have been away until who waits is told: 2,000. */
  readonly patienceMs: number;
  /** The pause after the first attempt, doubling up to the other: 1,000 and 10,000. */
  readonly pauseMs: number;
  readonly pauseMsMax: number;
  /** From which attempt on a saga that does not end raises an alarm: 5. */
  readonly alarmAttempts: number;
}

export const attemptDefaults: AttemptOptions = {
  attemptMs: 30_000,
  stepMs: 10_000,
  stepGraceMs: 1_000,
  retryMs: 50,
  retryMsMax: 2_000,
  patienceMs: 2_000,
  pauseMs: 1_000,
  pauseMsMax: 10_000,
  alarmAttempts: 5,
};

/** What those who wait are told before the attempt's end. */
export type Foreseen = { readonly status: "refused"; readonly refusal: Refusal } | { readonly status: "running" };

/** What an attempt stands on. Time here is the monotonic clock's; only `now` is business time. */
export interface AttemptPorts {
  readonly service: string;
  readonly store: SagaStore;
  readonly log: Logger;
  readonly options: AttemptOptions;
  readonly now: () => Date;
  readonly monotonicMs: () => number;
  /** Resolves after so long, or rejects when the signal that comes with it does. */
  readonly pause: (ms: number) => Promise<void>;
  readonly random: () => number;
}

/** So often it was asked in vain, at least, before anybody is called away: one answer may have been slow. */
const awayTries = 3;
const jitter = 0.2;

/** Why the steps of an attempt are not waited for any longer. */
class Ended extends Error {
  readonly end: "lost" | "left";
  readonly pauseMs: number | undefined;

  constructor(end: "lost" | "left", init: { readonly pauseMs?: number; readonly cause?: unknown } = {}) {
    super(`the attempt is ${end}`, { cause: init.cause });
    this.end = end;
    this.pauseMs = init.pauseMs;
  }
}

/** One owner's try at one saga: asks all its steps from the first on, or takes back what was done. */
export class SagaAttempt {
  readonly row: SagaRow;
  readonly #definition: AnySaga;
  readonly #ports: AttemptPorts;
  /** Whether others have been at it before, so that any of its steps may have been asked. */
  readonly #takenOver: boolean;
  #foreseen = Promise.withResolvers<Foreseen>();
  #deadlineMs: number;
  #stepEndsMs = Infinity;
  #cut: Ended | undefined;
  #interrupt: ((error: Error) => void) | undefined;

  constructor(definition: AnySaga, row: SagaRow, ports: AttemptPorts) {
    this.#definition = definition;
    this.row = row;
    this.#ports = ports;
    this.#takenOver = row.fence > 1n;
    this.#deadlineMs = ports.monotonicMs() + ports.options.attemptMs;
  }

  /** Resolves when it is known that those who wait now would wait in vain. */
  get foreseen(): Promise<Foreseen> {
    return this.#foreseen.promise;
  }

  #tell(foreseen: Foreseen): void {
    this.#foreseen.resolve(foreseen);
    // The other side may be back: who comes from now on waits for the next try.
    if (foreseen.status === "running") this.#foreseen = Promise.withResolvers();
  }

  /** Waits for no step any longer: the saga is another's ("lost"), or shall be at once ("left"). Nothing when it is at its end. */
  cut(end: "lost" | "left"): void {
    this.#cut ??= new Ended(end, { pauseMs: 0 });
    this.#interrupt?.(this.#cut);
  }

  /** Gives up a step that did not keep to its deadline. Called from time to time. */
  watch(): void {
    if (this.#ports.monotonicMs() > this.#stepEndsMs) this.#interrupt?.(refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded" }));
  }

  /** Never rejects. */
  async run(): Promise<AttemptEnd> {
    try {
      const { status, refusal } = this.row;
      if (status === "RUNNING") return await this.#forward();
      if (refusal === null) throw new Error("a saga that is taken back has no refusal");
      return await this.#back(restoreRefusal(refusal), this.#definition.steps);
    } catch (error) {
      if (error instanceof Ended && error.end === "lost") return { status: "lost" };
      await this.#leave(error);
      return { status: "left" };
    }
  }

  async #forward(): Promise<AttemptEnd> {
    const { output, steps } = this.#definition;
    let state = this.#begin();
    for (const [at, step] of steps.entries()) {
      const asked = await this.#do(step, state);
      if ("refusal" in asked) return this.#refuse(asked.refusal, this.#takenOver ? steps : steps.slice(0, asked.uncertain ? at + 1 : at));
      state = asked.state ?? state;
    }
    const answer = toBinary(output, create(output, this.#definition.answer(state)));
    await this.#write(() => this.#ports.store.end(this.row, { answer }, this.#ports.now()));
    return { status: "done", answer: fromBinary(output, answer) };
  }

  /** `asked`: the steps that may have been done. */
  async #refuse(refusal: Refusal, asked: readonly SagaStep<unknown>[]): Promise<AttemptEnd> {
    if (!asked.some((step) => step.undo !== undefined)) return this.#end(refusal);
    const stored = storeRefusal(refusal);
    await this.#write(() => this.#ports.store.undo(this.row, stored));
    // Taking it back waits for the one that is away.
    if (isGivenUp(stored)) this.#tell({ status: "refused", refusal: restoreRefusal(stored) });
    this.#deadlineMs = this.#ports.monotonicMs() + this.#ports.options.attemptMs;
    return this.#back(refusal, asked);
  }

  async #back(refusal: Refusal, asked: readonly SagaStep<unknown>[]): Promise<AttemptEnd> {
    const state = this.#begin();
    for (const step of asked.toReversed()) if (step.undo !== undefined) await this.#undo(step, state);
    return this.#end(refusal);
  }

  async #end(refusal: Refusal): Promise<AttemptEnd> {
    const end = { refusal: storeRefusal(refusal), keepKey: keptForItsKey(refusal) };
    await this.#write(() => this.#ports.store.end(this.row, end, this.#ports.now()));
    return { status: "refused", refusal: restoreRefusal(end.refusal) };
  }

  #begin(): unknown {
    return this.#definition.begin(fromBinary(this.#definition.input, this.row.input), this.row.id, this.#call(undefined));
  }

  /** The step's new state, or its refusal and whether an earlier question of ours may have had its effect nevertheless. */
  async #do(step: SagaStep<unknown>, state: unknown): Promise<{ state: unknown } | { refusal: Refusal; uncertain: boolean }> {
    const { monotonicMs, options } = this.#ports;
    const startMs = monotonicMs();
    for (let tries = 1; ; tries++) {
      try {
        return { state: await this.#within(step.do(state, this.#call(step))) };
      } catch (error) {
        const refusal = refusalIn(error);
        if (!(error instanceof Ended) && refusal !== undefined && !outcomeUnknown(error)) return { refusal, uncertain: tries > 1 };
        if (refusal?.reason === "DEPENDENCY_UNAVAILABLE" && tries >= awayTries) {
          const nextMs = monotonicMs() + backoffMs({ pauseMsMin: options.retryMs, pauseMsMax: Infinity }, tries);
          const patient = nextMs - startMs < options.patienceMs;
          if (!patient && step.givesUp === true && !this.#takenOver) return { refusal, uncertain: true };
          if (!patient) this.#tell({ status: "running" });
        }
        await this.#beforeNextTry(tries, error, step.name);
      }
    }
  }

  async #undo(step: SagaStep<unknown>, state: unknown): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#within(step.undo!(state, this.#call(step)));
      } catch (error) {
        await this.#beforeNextTry(tries, error, `undo of ${step.name}`);
      }
    }
  }

  /** Writes about the saga until it is known whether that was done. Throws when the saga is another's. */
  async #write(write: () => Promise<boolean>): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        if (await write()) return;
        throw new Ended("lost");
      } catch (error) {
        await this.#beforeNextTry(tries, error, "write");
      }
    }
  }

  async #beforeNextTry(tries: number, error: unknown, what: string): Promise<void> {
    if (error instanceof Ended) throw error;
    const { options, random, monotonicMs, log, pause } = this.#ports;
    const plainMs = backoffMs({ pauseMsMin: options.retryMs, pauseMsMax: options.retryMsMax, jitter }, tries, random);
    const pauseMs = Math.max(plainMs, refusalIn(error)?.retryAfterMs ?? 0);
    const fields = { saga: this.row.id, name: this.row.name, step: what, tries, error };
    if (refusalIn(error) === undefined) log.error(fields, "a saga's step failed by a fault; it is asked again");
    else log.debug(fields, "a saga's step has no known outcome; it is asked again");
    if (monotonicMs() + pauseMs >= this.#deadlineMs) throw new Ended("left", { cause: error });
    await this.#within(pause(pauseMs));
  }

  async #leave(error: unknown): Promise<void> {
    const { store, options, log, random } = this.#ports;
    const { id, name, attempts } = this.row;
    const plainMs = Math.round(backoffMs({ pauseMsMin: options.pauseMs, pauseMsMax: options.pauseMsMax, jitter }, attempts, random));
    const pauseMs = error instanceof Ended ? (error.pauseMs ?? plainMs) : plainMs;
    const fields = { saga: id, name, attempts, pauseMs, error };
    if (attempts >= options.alarmAttempts)
      log.error({ alert: "SAGA_STUCK", ...fields }, "a saga does not come to its end; it is tried again");
    else log.warn(fields, "a saga is left for a pause");
    try {
      await store.leave(this.row, pauseMs);
    } catch (failure) {
      log.warn({ ...fields, error: failure }, "a saga could not be left; others take it when its lease is over");
    }
  }

  /** What the work gives, unless the attempt is cut or the step's time is up before. */
  async #within<T>(work: Promise<T>): Promise<T> {
    const interrupted = Promise.withResolvers<never>();
    this.#interrupt = interrupted.reject;
    if (this.#cut !== undefined) interrupted.reject(this.#cut);
    try {
      return await Promise.race([work, interrupted.promise]);
    } finally {
      this.#interrupt = undefined;
      this.#stepEndsMs = Infinity;
    }
  }

  #call(step: SagaStep<unknown> | undefined): Call {
    const { service: caller, options, monotonicMs } = this.#ports;
    const { id, call } = this.row;
    const deadlineMs = Math.min(this.#deadlineMs, monotonicMs() + options.stepMs);
    if (step !== undefined) this.#stepEndsMs = deadlineMs + options.stepGraceMs;
    const idempotencyKey = step === undefined ? undefined : `${id}/${step.name}`;
    return new Call({
      caller,
      user: call.user,
      correlation: call.correlation,
      trace: call.trace,
      causation: id,
      deadlineMs,
      idempotencyKey,
    });
  }
}
