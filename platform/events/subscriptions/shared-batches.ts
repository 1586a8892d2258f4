import { performance } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Database, Transaction } from "../../database/database.ts";
import type { Checkpoint } from "../checkpoint.ts";
import type { RecordedEvent, Subscription } from "../events.ts";
import { advance, advanceSql, leaseLostOr } from "./lease-store.ts";
import type { Lease } from "./lease-store.ts";
import { park } from "./parked-store.ts";
import type { EventToPark } from "./parked-store.ts";

/** What one loop writes in a transaction: the effect of events, the parked events, and the checkpoint after them. */
export interface Step {
  readonly lease: Lease;
  readonly events: readonly RecordedEvent[];
  readonly toPark: readonly EventToPark[];
  readonly to: Checkpoint;
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

type WriteNeeds = Pick<SharedNeeds, "database" | "subscription" | "leaseMs">;

/** Writes one step by itself. Throws what the subscription's `apply` throws, and `LeaseLost`. */
export async function writeStep(needs: WriteNeeds, step: Step): Promise<void> {
  const { lease, events, toPark, to } = step;
  if (events.length === 0 && toPark.length === 0) return advance(needs.database, lease, to, 0, needs.leaseMs);
  await writeTogether(needs, [step]);
}

/** Writes steps in one transaction: the checkpoints come last, so that their rows are locked only briefly. */
async function writeTogether({ database, subscription, leaseMs }: WriteNeeds, steps: readonly Step[]): Promise<void> {
  const events = steps.flatMap((step) => step.events);
  const work = async (tx: Transaction): Promise<void> => {
    const writes = events.length > 0 ? await subscription.apply(tx, events) : undefined;
    for (const { lease, toPark } of steps) if (toPark.length > 0) await park(tx, lease.name, toPark);
    tx.last(advanceSql(writes ?? undefined, steps, leaseMs));
  };
  try {
    await database.transaction(work, { pool: "background" });
  } catch (error) {
    throw leaseLostOr(error, steps);
  }
}

/**
 * Lets the loops of a subscription's partitions in one process read at the same time and write in one transaction, so that six partitions cost as
 * much as a whole log. When that transaction fails each step is written by itself, so that a failure in one partition does not affect others.
 */
export class SharedBatches {
  readonly #needs: SharedNeeds;
  readonly #waiting: Waiting[] = [];
  #writing = false;
  #readMs = Number.NEGATIVE_INFINITY;
  #nextRead: { readonly begun: Promise<void>; readonly begin: () => void } | undefined;
  #closed = false;

  constructor(needs: SharedNeeds) {
    this.#needs = needs;
  }

  /** Resolves when all loops may read next: `lingerMs` after the first call, so that events gather, and at least `pauseMs` after the last read. */
  nextRead(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    if (this.#nextRead === undefined) {
      const { promise: begun, resolve } = Promise.withResolvers<void>();
      const begin = () => {
        clearTimeout(timer);
        this.#nextRead = undefined;
        this.#readMs = performance.now();
        resolve();
      };
      const { lingerMs, pauseMs } = this.#needs;
      const timer = setTimeout(begin, Math.max(lingerMs, this.#readMs + pauseMs - performance.now()));
      this.#nextRead = { begun, begin };
    }
    return this.#nextRead.begun;
  }

  /** Resolves what waits for the next read. */
  hurry(): void {
    this.#nextRead?.begin();
  }

  /** Resolves what waits for the next read; from now on `nextRead` resolves at once. */
  close(): void {
    this.#closed = true;
    this.#nextRead?.begin();
  }

  /** Resolves when the step is committed, together with those of other loops. */
  write(step: Step): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#waiting.push({ step, done });
    if (!this.#writing) void this.#writeAll();
    return done.promise;
  }

  async #writeAll(): Promise<void> {
    this.#writing = true;
    while (this.#waiting.length > 0) {
      // The other loops, which read at the same time, hand in their steps within the same turn of the event loop.
      await nextTurn();
      const batch = this.#nextBatch();
      try {
        if (batch.length === 1) await writeStep(this.#needs, batch[0]!.step);
        else
          await writeTogether(
            this.#needs,
            batch.map(({ step }) => step),
          );
        for (const { done } of batch) done.resolve();
      } catch (error) {
        if (batch.length === 1) batch[0]!.done.reject(error);
        else await this.#writeEach(batch);
      }
    }
    this.#writing = false;
  }

  /** All waiting steps, limited so that a transaction is not much longer than one of a whole log. */
  #nextBatch(): Waiting[] {
    let [count, events] = [0, 0];
    while (count < this.#waiting.length && (count === 0 || events < this.#needs.batchMax))
      events += this.#waiting[count++]!.step.events.length;
    return this.#waiting.splice(0, count);
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
