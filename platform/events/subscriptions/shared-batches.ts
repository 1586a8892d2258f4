import { performance } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Database, Transaction } from "../../database/database.ts";
import type { RecordedEvent, Subscription } from "../events.ts";
import { park } from "./parked-store.ts";
import type { Parking } from "./parked-store.ts";
import type { Stand } from "../position.ts";
import { advance, advanceAll } from "./subscription-store.ts";
import type { Lease } from "./subscription-store.ts";

/** What one loop has to write: the effect of events, what is parked, and its place behind them. */
export interface Step {
  readonly lease: Lease;
  readonly events: readonly RecordedEvent[];
  readonly parkings: readonly Parking[];
  readonly to: Stand;
}

export interface SharedNeeds {
  readonly subscription: Subscription;
  readonly database: Database;
  readonly lingerMs: number;
  readonly pauseMs: number;
  readonly leaseMs: number;
  readonly batchMax: number;
}

interface Waiting {
  readonly step: Step;
  readonly done: PromiseWithResolvers<void>;
}

/** Writes one step in a transaction of its own. Throws what the subscription throws, and `LeaseLost`. */
export async function writeStep(
  { database, subscription, leaseMs }: Pick<SharedNeeds, "database" | "subscription" | "leaseMs">,
  { lease, events, parkings, to }: Step,
): Promise<void> {
  if (events.length === 0 && parkings.length === 0) return advance(database, lease, to, 0, leaseMs);
  await database.transaction(
    async (tx: Transaction) => {
      if (events.length > 0) await subscription.apply(tx, events);
      if (parkings.length > 0) await park(tx, lease.name, parkings);
      await advance(tx, lease, to, events.length, leaseMs);
    },
    { pool: "background" },
  );
}

/**
 * Lets the loops of a subscription's parts in one process read at the same moments and be applied in one transaction: six parts cost then what a
 * whole log would. When that fails each is written by itself, so that one does not suffer for another.
 */
export class SharedBatches {
  readonly #needs: SharedNeeds;
  readonly #waiting: Waiting[] = [];
  #writing = false;
  #turnMs = Number.NEGATIVE_INFINITY;
  #turn: { readonly begun: Promise<void>; readonly begin: () => void } | undefined;
  #closed = false;

  constructor(needs: SharedNeeds) {
    this.#needs = needs;
  }

  /** Until all may read next: soon after the first who asks, so that events gather, and not too soon after the last time. */
  turn(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    if (this.#turn === undefined) {
      const { promise: begun, resolve } = Promise.withResolvers<void>();
      const begin = () => {
        clearTimeout(timer);
        this.#turn = undefined;
        this.#turnMs = performance.now();
        resolve();
      };
      const { lingerMs, pauseMs } = this.#needs;
      const timer = setTimeout(begin, Math.max(lingerMs, this.#turnMs + pauseMs - performance.now()));
      this.#turn = { begun, begin };
    }
    return this.#turn.begun;
  }

  /** Ends waiting for turns, for good. */
  close(): void {
    this.#closed = true;
    this.#turn?.begin();
  }

  /** Resolves when the step is committed, with those of others. */
  write(step: Step): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#waiting.push({ step, done });
    if (!this.#writing) void this.#writeAll();
    return done.promise;
  }

  async #writeAll(): Promise<void> {
    this.#writing = true;
    while (this.#waiting.length > 0) {
      // The others of this turn are a few steps behind.
      await nextTurn();
      const batch = this.#nextBatch();
      try {
        if (batch.length === 1) await writeStep(this.#needs, batch[0]!.step);
        else await this.#writeTogether(batch.map(({ step }) => step));
        for (const { done } of batch) done.resolve();
      } catch (error) {
        if (batch.length === 1) batch[0]!.done.reject(error);
        else await this.#writeEach(batch);
      }
    }
    this.#writing = false;
  }

  /** As many as wait, in transactions that are not much longer than those of a whole log. */
  #nextBatch(): Waiting[] {
    let [count, events] = [0, 0];
    while (count < this.#waiting.length && (count === 0 || events < this.#needs.batchMax))
      events += this.#waiting[count++]!.step.events.length;
    return this.#waiting.splice(0, count);
  }

  async #writeTogether(steps: readonly Step[]): Promise<void> {
    const { database, subscription, leaseMs } = this.#needs;
    const events = steps.flatMap((step) => step.events);
    await database.transaction(
      async (tx) => {
        if (events.length > 0) await subscription.apply(tx, events);
        for (const { lease, parkings } of steps) if (parkings.length > 0) await park(tx, lease.name, parkings);
        await advanceAll(tx, steps, leaseMs);
      },
      { pool: "background" },
    );
  }

  async #writeEach(batch: readonly Waiting[]): Promise<void> {
    for (const { step, done } of batch)
      try {
        await writeStep(this.#needs, step);
        done.resolve();
      } catch (error) {
        done.reject(error);
      }
  }
}
