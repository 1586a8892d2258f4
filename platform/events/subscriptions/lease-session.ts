import { performance } from "node:perf_hooks";
import type { Clock } from "../../clock/clock.ts";
import type { Database } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import { refusalIn } from "../../errors/refusal.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { EventSchemas } from "../event-schemas.ts";
import type { SourceBatch, SourceEvent } from "../transport/event-source.ts";
import type { RecordedEvent, Subscription } from "../events.ts";
import { noteFailure, parkedEvents, parkedHeads, unpark } from "./parked-store.ts";
import type { Parking } from "./parked-store.ts";
import { comparePlaces } from "../position.ts";
import type { Place, Stand } from "../position.ts";
import { writeStep } from "./shared-batches.ts";
import type { SharedBatches } from "./shared-batches.ts";
import { LeaseLost } from "./subscription-store.ts";
import type { Lease } from "./subscription-store.ts";

export interface LeaseSessionNeeds {
  readonly subscription: Subscription;
  readonly schemas: EventSchemas;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  /** The other parts of the subscription in this process. */
  readonly shared?: SharedBatches;
  readonly options: {
    readonly batchMax: number;
    readonly attemptsMax: number;
    readonly retryDelayMs: number;
    readonly retryDelayMsMax: number;
    readonly leaseMs: number;
  };
  /** Called after each step forward. */
  readonly moved: () => void;
  /** Called when an event was parked, or its tries are used up. */
  readonly parked?: () => void;
}

interface Failure {
  readonly error: unknown;
}

/** After so many refusals by the database while it answers others, it is the batch that does not work. */
const refusalsMax = 4;
/** A place that only moved over events of other types is stored this often: after a crash they are looked at again. */
const storeMs = 1_000;
const never = Number.POSITIVE_INFINITY;

/** One holder's time with a subscription: applies events and parks what fails, under one lease. Throws `LeaseLost` when that has become void. */
export class LeaseSession {
  readonly #needs: LeaseSessionNeeds;
  /** Streams with parked events, and when (business time, ms) the first is tried again. True as long as the lease is: only its holder parks. */
  readonly #parked = new Map<string, number>();
  /** The place in it is the stored one. */
  #lease: Lease;
  #stand: Stand;
  #storedMs = performance.now();
  #refusals = 0;

  private constructor(needs: LeaseSessionNeeds, lease: Lease) {
    this.#needs = needs;
    this.#lease = lease;
    this.#stand = standOf(lease);
  }

  static async begin(needs: LeaseSessionNeeds, lease: Lease): Promise<LeaseSession> {
    const session = new LeaseSession(needs, lease);
    for (const { stream, attempts, nextAttemptAt } of await parkedHeads(needs.database, lease.name))
      session.#parked.set(stream, attempts === 0 ? 0 : (nextAttemptAt?.getTime() ?? never));
    return session;
  }

  get lease(): Lease {
    return this.#lease;
  }

  /** Everything up to here is applied or parked, or of another type. */
  get stand(): Stand {
    return this.#stand;
  }

  /** When a write last made the lease longer, on the monotonic clock. */
  get storedMs(): number {
    return this.#storedMs;
  }

  get stored(): boolean {
    return comparePlaces(this.#stand, this.#lease) === 0 && this.#stand.mark === this.#lease.mark;
  }

  /** When the next parked event is due, in business time; infinite when none will be. */
  get dueMs(): number {
    let dueMs = never;
    for (const at of this.#parked.values()) dueMs = Math.min(dueMs, at);
    return dueMs;
  }

  /** Applies a batch in one transaction; when that fails, each event by itself, and parks those that fail. */
  async take({ events, next }: SourceBatch): Promise<void> {
    if (events.length === 0) {
      if (comparePlaces(next, this.#stand) > 0 || next.mark !== this.#stand.mark) this.#reach(next);
      if (!this.stored && performance.now() - this.#storedMs >= storeMs) await this.#commit([], [], this.#stand);
      return;
    }
    const free: RecordedEvent[] = [];
    const waiting: Parking[] = [];
    let failed: Failure | undefined;
    for (const event of events) {
      if (this.#parked.has(event.stream)) waiting.push({ event });
      else {
        const decoded = this.#decode(event);
        if ("error" in decoded) failed = decoded;
        else free.push(decoded);
      }
    }
    failed ??= await this.#try(free, waiting, next);
    if (failed === undefined) return;
    // A lone event has had its try.
    await this.#takeEach(events, events.length === 1 ? failed : undefined);
    this.#reach(next);
  }

  /** Tries the parked events that are due, until `stopped`. */
  async retryDue(stopped: () => boolean): Promise<void> {
    if (this.#parked.size === 0) return;
    const nowMs = this.#needs.clock.now().getTime();
    for (const [stream, dueMs] of this.#parked) if (dueMs <= nowMs && !stopped()) await this.#drain(stream);
  }

  async #takeEach(events: readonly SourceEvent[], known: Failure | undefined): Promise<void> {
    for (const event of events) {
      if (this.#parked.has(event.stream)) {
        await this.#commit([], [{ event }], this.#upTo(event.place), true);
        continue;
      }
      const decoded = this.#decode(event);
      const failure = known ?? ("error" in decoded ? decoded : await this.#try([decoded], [], this.#upTo(event.place), true));
      if (failure === undefined) continue;
      const nextAttemptAt = this.#nextAttemptAt(1);
      await this.#commit([], [{ event, failure: { error: failure.error, nextAttemptAt } }], this.#upTo(event.place), true);
      this.#failed(event, failure.error, nextAttemptAt);
    }
  }

  async #try(events: readonly RecordedEvent[], parkings: readonly Parking[], to: Stand, alone = false): Promise<Failure | undefined> {
    try {
      await this.#commit(events, parkings, to, alone);
      return undefined;
    } catch (error) {
      if (await this.#isOwnFault(error)) return { error };
      throw error;
    }
  }

  /** One transaction: the effect of `events`, the parked rows, and the place. With those of other parts, where they share it. */
  async #commit(events: readonly RecordedEvent[], parkings: readonly Parking[], to: Stand, alone = false): Promise<void> {
    const step = { lease: this.#lease, events, parkings, to };
    const { shared, options } = this.#needs;
    // A place that only moves need not wait for others.
    if (shared === undefined || alone || events.length + parkings.length === 0)
      await writeStep({ ...this.#needs, leaseMs: options.leaseMs }, step);
    else await shared.write(step);
    this.#refusals = 0;
    this.#storedMs = performance.now();
    this.#lease = { ...this.#lease, ...standOf(to) };
    this.#reach(to);
  }

  #reach(to: Stand): void {
    this.#stand = standOf(to);
    this.#needs.moved();
  }

  /** Amid a batch the mark stays behind the place, which decides. */
  #upTo({ epoch, xid, position }: Place): Stand {
    return { epoch, xid, position, mark: this.#stand.mark };
  }

  /** Tries a stream's parked events in order until none is left or one fails: the first alone, those that waited for it together. */
  async #drain(stream: string): Promise<void> {
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
        if (!(await this.#isOwnFault(error))) throw error;
        if (events.length > 1) {
          size = 1;
          continue;
        }
        const nextAttemptAt = this.#nextAttemptAt(first.attempts + 1);
        await noteFailure(database, this.#lease, first, { error, nextAttemptAt });
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
        await subscription.apply(tx, decoded);
        await unpark(tx, this.#lease, stream, events.at(-1)!.place, events.length);
      },
      { pool: "background" },
    );
    this.#refusals = 0;
  }

  /** Whether the event or its handler is at fault, not the database: one that is away must park nothing. */
  async #isOwnFault(error: unknown): Promise<boolean> {
    if (error instanceof LeaseLost) return false;
    if (refusalIn(error)?.code !== "unavailable") return true;
    if (++this.#refusals < refusalsMax) return false;
    this.#refusals = 0;
    // Rejects while the database is away, which ends the round as well.
    await this.#needs.database.one(sql`select 1 as here`);
    return true;
  }

  #failed(event: SourceEvent, error: unknown, nextAttemptAt: Date | null): void {
    this.#parked.set(event.stream, nextAttemptAt?.getTime() ?? never);
    this.#needs.parked?.();
    const { log } = this.#needs;
    const fields = { error, subscription: this.#lease.name, event: event.id, type: event.type, stream: event.stream };
    if (nextAttemptAt === null) log.error(fields, "an event stays parked with its stream until an operator replays or skips it");
    else log.warn({ ...fields, nextAttemptAt }, "an event is parked with its stream and will be tried again");
  }

  #nextAttemptAt(attempts: number): Date | null {
    const { options, clock } = this.#needs;
    if (attempts >= options.attemptsMax) return null;
    const plainMs = Math.min(options.retryDelayMs * 2 ** (attempts - 1), options.retryDelayMsMax);
    return new Date(clock.now().getTime() + Math.round(plainMs * (0.8 + 0.4 * Math.random())));
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

function standOf({ epoch, xid, position, mark }: Stand): Stand {
  return { epoch, xid, position, mark };
}
