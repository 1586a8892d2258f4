import { performance } from "node:perf_hooks";
import type { Clock } from "../../clock/clock.ts";
import type { Database } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import { writeSql } from "../../database/writes.ts";
import { refusalIn } from "../../errors/refusal.ts";
import { backoffMs } from "../../retry/backoff.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { checkpointOf } from "../checkpoint.ts";
import type { Checkpoint } from "../checkpoint.ts";
import type { EventSchemas } from "../event-schemas.ts";
import type { RecordedEvent, Subscription } from "../events.ts";
import { comparePositions } from "../position.ts";
import type { Position } from "../position.ts";
import type { SourceBatch, SourceEvent } from "../transport/event-source.ts";
import { LeaseLost } from "./lease-store.ts";
import type { Lease } from "./lease-store.ts";
import { firstParkedEvents, parkedEvents, recordFailure, removeParked } from "./parked-store.ts";
import type { EventToPark } from "./parked-store.ts";
import { writeStep } from "./shared-batches.ts";
import type { SharedBatches } from "./shared-batches.ts";

export interface LeaseSessionNeeds {
  readonly subscription: Subscription;
  readonly schemas: EventSchemas;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  /** The batches shared with the other partitions of the subscription in this process. */
  readonly shared?: SharedBatches;
  readonly options: {
    readonly batchMax: number;
    readonly attemptsMax: number;
    readonly retryDelayMs: number;
    readonly retryDelayMsMax: number;
    readonly leaseMs: number;
  };
  /** Called after each step forward. */
  readonly onProgress: () => void;
  /** Called when an event was parked, or its attempts are used up. */
  readonly onParked?: () => void;
}

interface Failure {
  readonly error: unknown;
}

/** When the database refuses a batch so often and still executes other statements, the batch is at fault. */
const refusalsMax = 4;
/** Progress over events of other types only is stored this often: after a crash they are read again. */
const storeMs = 1_000;
const never = Number.POSITIVE_INFINITY;

/** Applies a subscription's events and parks those that fail, under one lease. Its methods throw `LeaseLost` when the lease has become void. */
export class LeaseSession {
  readonly #needs: LeaseSessionNeeds;
  /** Streams with parked events, and when (business time, ms) the first is tried again. Valid as long as the lease: only its holder parks. */
  readonly #parked = new Map<string, number>();
  /** Its checkpoint is the stored one. */
  #lease: Lease;
  #progress: Checkpoint;
  #storedMs = performance.now();
  #refusals = 0;

  private constructor(needs: LeaseSessionNeeds, lease: Lease) {
    this.#needs = needs;
    this.#lease = lease;
    this.#progress = checkpointOf(lease);
  }

  static async begin(needs: LeaseSessionNeeds, lease: Lease): Promise<LeaseSession> {
    const session = new LeaseSession(needs, lease);
    for (const { stream, attempts, nextAttemptAt } of await firstParkedEvents(needs.database, lease.name))
      session.#parked.set(stream, attempts === 0 ? 0 : (nextAttemptAt?.getTime() ?? never));
    return session;
  }

  get lease(): Lease {
    return this.#lease;
  }

  /** Everything up to here is applied or parked, or of another type. */
  get progress(): Checkpoint {
    return this.#progress;
  }

  /** When a write last extended the lease, on the monotonic clock. */
  get storedMs(): number {
    return this.#storedMs;
  }

  /** Whether the progress is stored. */
  get stored(): boolean {
    return comparePositions(this.#progress, this.#lease) === 0 && this.#progress.offsets === this.#lease.offsets;
  }

  /** When the next parked event is due, in business time; infinite when none will be. */
  get dueMs(): number {
    let dueMs = never;
    for (const at of this.#parked.values()) dueMs = Math.min(dueMs, at);
    return dueMs;
  }

  /** Applies a batch in one transaction; when that fails, each event by itself, and parks those that fail. */
  async apply({ events, next }: SourceBatch): Promise<void> {
    if (events.length === 0) {
      if (comparePositions(next, this.#progress) > 0 || next.offsets !== this.#progress.offsets) this.#advance(next);
      if (!this.stored && performance.now() - this.#storedMs >= storeMs) await this.#commit([], [], this.#progress);
      return;
    }
    const free: RecordedEvent[] = [];
    const toPark: EventToPark[] = [];
    let failed: Failure | undefined;
    for (const event of events) {
      if (this.#parked.has(event.stream)) toPark.push({ event });
      else {
        const decoded = this.#decode(event);
        if ("error" in decoded) failed = decoded;
        else free.push(decoded);
      }
    }
    failed ??= await this.#try(free, toPark, next);
    if (failed === undefined) return;
    // A single event has been tried already.
    await this.#applyEach(events, events.length === 1 ? failed : undefined);
    this.#advance(next);
  }

  /** Tries the parked events that are due, until `stopped`. */
  async retryDue(stopped: () => boolean): Promise<void> {
    if (this.#parked.size === 0) return;
    const nowMs = this.#needs.clock.now().getTime();
    for (const [stream, dueMs] of this.#parked) if (dueMs <= nowMs && !stopped()) await this.#retryStream(stream);
  }

  async #applyEach(events: readonly SourceEvent[], known: Failure | undefined): Promise<void> {
    for (const event of events) {
      if (this.#parked.has(event.stream)) {
        await this.#commit([], [{ event }], this.#upTo(event.position), true);
        continue;
      }
      const decoded = this.#decode(event);
      const failure = known ?? ("error" in decoded ? decoded : await this.#try([decoded], [], this.#upTo(event.position), true));
      if (failure === undefined) continue;
      const nextAttemptAt = this.#nextAttemptAt(1);
      await this.#commit([], [{ event, failure: { error: failure.error, nextAttemptAt } }], this.#upTo(event.position), true);
      this.#failed(event, failure.error, nextAttemptAt);
    }
  }

  async #try(
    events: readonly RecordedEvent[],
    toPark: readonly EventToPark[],
    to: Checkpoint,
    alone = false,
  ): Promise<Failure | undefined> {
    try {
      await this.#commit(events, toPark, to, alone);
      return undefined;
    } catch (error) {
      if (await this.#isFaultOfEvent(error)) return { error };
      throw error;
    }
  }

  /** One transaction: the effect of `events`, the parked rows, and the checkpoint; together with those of other partitions unless it must be alone. */
  async #commit(events: readonly RecordedEvent[], toPark: readonly EventToPark[], to: Checkpoint, alone = false): Promise<void> {
    const step = { lease: this.#lease, events, toPark, to };
    const { shared, options } = this.#needs;
    // A checkpoint without events need not wait for other partitions.
    if (shared === undefined || alone || events.length + toPark.length === 0)
      await writeStep({ ...this.#needs, leaseMs: options.leaseMs }, step);
    else await shared.write(step);
    this.#refusals = 0;
    this.#storedMs = performance.now();
    this.#lease = { ...this.#lease, ...checkpointOf(to) };
    this.#advance(to);
  }

  #advance(to: Checkpoint): void {
    this.#progress = checkpointOf(to);
    this.#needs.onProgress();
  }

  /** Within a batch only the position moves: the offsets are those of the batch's beginning. */
  #upTo({ epoch, xid, position }: Position): Checkpoint {
    return { epoch, xid, position, offsets: this.#progress.offsets };
  }

  /** Tries a stream's parked events in order until none is left or one fails: the first alone, and those that waited for it together. */
  async #retryStream(stream: string): Promise<void> {
    const { database, options } = this.#needs;
    let size = 1;
    for (;;) {
      const events = await parkedEvents(database, this.#lease.name, stream, size);
      const first = events[0];
      if (first === undefined) {
        this.#parked.delete(stream);
        return;
      }
      try {
        await this.#applyParked(stream, events);
        size = options.batchMax;
      } catch (error) {
        if (!(await this.#isFaultOfEvent(error))) throw error;
        if (events.length > 1) {
          size = 1;
          continue;
        }
        const nextAttemptAt = this.#nextAttemptAt(first.attempts + 1);
        await recordFailure(database, this.#lease, first, { error, nextAttemptAt });
        this.#failed(first, error, nextAttemptAt);
        return;
      }
    }
  }

  async #applyParked(stream: string, events: readonly SourceEvent[]): Promise<void> {
    const { database, subscription } = this.#needs;
    const decoded = events.map((event) => {
      const recorded = this.#decode(event);
      if ("error" in recorded) throw recorded.error;
      return recorded;
    });
    await database.transaction(
      async (tx) => {
        const writes = await subscription.apply(tx, decoded);
        if (writes !== undefined) await tx.run(writeSql(writes));
        await removeParked(tx, this.#lease, stream, events.at(-1)!.position, events.length);
      },
      { pool: "background" },
    );
    this.#refusals = 0;
  }

  /** Whether the event or its handler is at fault, not the database: nothing may be parked because the database is unavailable. */
  async #isFaultOfEvent(error: unknown): Promise<boolean> {
    if (error instanceof LeaseLost) return false;
    if (refusalIn(error)?.code !== "unavailable") return true;
    if (++this.#refusals < refusalsMax) return false;
    this.#refusals = 0;
    // Rejects while the database is unavailable, which ends the round as well.
    await this.#needs.database.one(sql`select 1 as available`);
    return true;
  }

  #failed(event: SourceEvent, error: unknown, nextAttemptAt: Date | null): void {
    this.#parked.set(event.stream, nextAttemptAt?.getTime() ?? never);
    this.#needs.onParked?.();
    const { log } = this.#needs;
    const fields = { error, subscription: this.#lease.name, event: event.id, type: event.type, stream: event.stream };
    if (nextAttemptAt === null) log.error(fields, "an event stays parked with its stream until an operator replays or skips it");
    else log.warn({ ...fields, nextAttemptAt }, "an event is parked with its stream and will be tried again");
  }

  #nextAttemptAt(attempts: number): Date | null {
    const { options, clock } = this.#needs;
    if (attempts >= options.attemptsMax) return null;
    const backoff = { pauseMsMin: options.retryDelayMs, pauseMsMax: options.retryDelayMsMax, jitter: 0.2 };
    return new Date(clock.now().getTime() + Math.round(backoffMs(backoff, attempts)));
  }

  #decode(event: SourceEvent): RecordedEvent | Failure {
    const { id, type, stream, version, at, actor, trace, correlation, causation } = event;
    try {
      return { id, type, stream, version, at, actor, trace, correlation, causation, data: this.#needs.schemas.decode(type, event.data) };
    } catch (error) {
      return { error: new Error(`${type} cannot be read`, { cause: error }) };
    }
  }
}
