import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import { outcomeUnknown, refusalIn } from "../errors/refusal.ts";
import type { Refusal } from "../errors/refusal.ts";
import { backoffMs } from "../retry/backoff.ts";
import { AttemptInterrupted, SagaRetries } from "./saga-retries.ts";
import type { AttemptPorts } from "./saga-retries.ts";
import type { AnySaga, SagaStep } from "./saga.ts";
import type { SagaRow } from "./saga-store.ts";
import { isStoredForKey, isUnavailable, restoreRefusal, storeRefusal } from "./stored-refusal.ts";

/** How an attempt ended: with its saga, or before it ("paused", or "lost" to another owner). */
export type AttemptEnd =
  | { readonly status: "done"; readonly reply: Message }
  | { readonly status: "refused"; readonly refusal: Refusal }
  | { readonly status: "paused" }
  | { readonly status: "lost" };

/** What waiting callers get before the attempt's end. */
export type EarlyResult = { readonly status: "refused"; readonly refusal: Refusal } | { readonly status: "running" };

/** A service counts as unavailable after so many tries at least, because one response may have been slow. */
const unavailableTries = 3;

/** One owner's attempt at one saga: calls all its steps from the first on, or undoes what was done. */
export class SagaAttempt {
  readonly row: SagaRow;
  readonly #definition: AnySaga;
  readonly #ports: AttemptPorts;
  readonly #retries: SagaRetries;
  /** Whether the saga had another owner before, so that any of its steps may have been called. */
  readonly #takenOver: boolean;
  #early = Promise.withResolvers<EarlyResult>();

  constructor(definition: AnySaga, row: SagaRow, ports: AttemptPorts) {
    this.#definition = definition;
    this.row = row;
    this.#ports = ports;
    this.#retries = new SagaRetries(row, ports);
    this.#takenOver = row.fence > 1n;
  }

  /** Resolves when callers who wait now would wait in vain. */
  get early(): Promise<EarlyResult> {
    return this.#early.promise;
  }

  #endWaits(result: EarlyResult): void {
    this.#early.resolve(result);
    // The service may be available again: later callers wait for the next try.
    if (result.status === "running") this.#early = Promise.withResolvers();
  }

  /** Ends the attempt, because the saga has another owner ("lost") or is to be taken over at once ("paused"). No effect after its end. */
  interrupt(end: "paused" | "lost"): void {
    this.#retries.interrupt(end);
  }

  /** Ends the wait for a step that ignores its deadline. Called from time to time. */
  watch(): void {
    this.#retries.watch();
  }

  /** Never rejects. */
  async run(): Promise<AttemptEnd> {
    try {
      const { status, refusal } = this.row;
      if (status === "RUNNING") return await this.#forward();
      if (refusal === null) throw new Error("a saga that is being undone has no refusal");
      return await this.#back(restoreRefusal(refusal), this.#definition.steps);
    } catch (error) {
      if (error instanceof AttemptInterrupted && error.end === "lost") return { status: "lost" };
      await this.#pause(error);
      return { status: "paused" };
    }
  }

  async #forward(): Promise<AttemptEnd> {
    const { output, steps } = this.#definition;
    let state = this.#begin();
    for (const [at, step] of steps.entries()) {
      const outcome = await this.#do(step, state);
      if ("refusal" in outcome)
        return this.#refuse(outcome.refusal, this.#takenOver ? steps : steps.slice(0, outcome.uncertain ? at + 1 : at));
      state = outcome.state ?? state;
    }
    const reply = toBinary(output, create(output, this.#definition.reply(state)));
    await this.#write(() => this.#ports.store.end(this.row, { reply }, this.#ports.now()));
    return { status: "done", reply: fromBinary(output, reply) };
  }

  /** `called`: the steps that may have been done. */
  async #refuse(refusal: Refusal, called: readonly SagaStep<unknown>[]): Promise<AttemptEnd> {
    if (!called.some((step) => step.undo !== undefined)) return this.#end(refusal);
    const stored = storeRefusal(refusal);
    await this.#write(() => this.#ports.store.undo(this.row, stored));
    // Undoing waits for the unavailable service.
    if (isUnavailable(stored)) this.#endWaits({ status: "refused", refusal: restoreRefusal(stored) });
    this.#retries.restart();
    return this.#back(refusal, called);
  }

  async #back(refusal: Refusal, called: readonly SagaStep<unknown>[]): Promise<AttemptEnd> {
    const state = this.#begin();
    for (const step of called.toReversed()) if (step.undo !== undefined) await this.#undo(step, state);
    return this.#end(refusal);
  }

  async #end(refusal: Refusal): Promise<AttemptEnd> {
    const end = { refusal: storeRefusal(refusal), keepKey: isStoredForKey(refusal) };
    await this.#write(() => this.#ports.store.end(this.row, end, this.#ports.now()));
    return { status: "refused", refusal: restoreRefusal(end.refusal) };
  }

  #begin(): unknown {
    return this.#definition.begin(fromBinary(this.#definition.input, this.row.input), this.row.id, this.#retries.callOf(undefined));
  }

  /** The step's new state, or its refusal and whether an earlier try may have had its effect nevertheless. */
  async #do(step: SagaStep<unknown>, state: unknown): Promise<{ state: unknown } | { refusal: Refusal; uncertain: boolean }> {
    const { monotonicMs, options } = this.#ports;
    const startMs = monotonicMs();
    for (let tries = 1; ; tries++) {
      try {
        return { state: await this.#retries.within(step.do(state, this.#retries.callOf(step))) };
      } catch (error) {
        const refusal = refusalIn(error);
        if (!(error instanceof AttemptInterrupted) && refusal !== undefined && !outcomeUnknown(error))
          return { refusal, uncertain: tries > 1 };
        if (refusal?.reason === "DEPENDENCY_UNAVAILABLE" && tries >= unavailableTries) {
          const nextTryMs = monotonicMs() + backoffMs({ pauseMsMin: options.retryMs, pauseMsMax: Infinity }, tries);
          const unavailable = nextTryMs - startMs >= options.unavailableMs;
          if (unavailable && step.undoWhenUnavailable === true && !this.#takenOver) return { refusal, uncertain: true };
          if (unavailable) this.#endWaits({ status: "running" });
        }
        await this.#retries.pauseAfter(tries, error, step.name);
      }
    }
  }

  async #undo(step: SagaStep<unknown>, state: unknown): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#retries.within(step.undo!(state, this.#retries.callOf(step)));
      } catch (error) {
        await this.#retries.pauseAfter(tries, error, `undo of ${step.name}`);
      }
    }
  }

  /** Repeats a write about the saga until its outcome is known. Throws when the saga has another owner. */
  async #write(write: () => Promise<boolean>): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        if (await write()) return;
        throw new AttemptInterrupted("lost");
      } catch (error) {
        await this.#retries.pauseAfter(tries, error, "write");
      }
    }
  }

  async #pause(error: unknown): Promise<void> {
    const { store, options, log } = this.#ports;
    const { id, name, attempts } = this.row;
    const pauseMs = this.#retries.pauseBeforeNextAttemptMs(error);
    const fields = { saga: id, name, attempts, pauseMs, error };
    if (attempts >= options.alarmAttempts) log.error({ alert: "SAGA_STUCK", ...fields }, "a saga does not end and is tried again");
    else log.warn(fields, "a saga pauses before its next attempt");
    try {
      await store.pause(this.row, pauseMs);
    } catch (failure) {
      log.warn({ ...fields, error: failure }, "a saga's pause could not be stored; it is taken over when its lease ends");
    }
  }
}
