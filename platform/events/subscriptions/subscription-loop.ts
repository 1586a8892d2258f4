import { performance } from "node:perf_hooks";
import type { Clock } from "../../clock/clock.ts";
import type { Database } from "../../database/database.ts";
import { backoffMs } from "../../retry/backoff.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Checkpoint } from "../checkpoint.ts";
import { eventSchemas } from "../event-schemas.ts";
import type { Subscription } from "../events.ts";
import type { EventSource } from "../transport/event-source.ts";
import { untilAborted } from "../until-aborted.ts";
import { Waker } from "../../changes/waker.ts";
import { LeaseSession } from "./lease-session.ts";
import type { LeaseSessionNeeds } from "./lease-session.ts";
import { LeaseLost } from "./lease-store.ts";
import type { Lease } from "./lease-store.ts";
import type { SharedBatches } from "./shared-batches.ts";

export interface LoopOptions {
  /** Events a batch, which is one transaction: 200 by default. */
  readonly batchMax: number;
  /** How long to wait after a signal, so that events of concurrent writers share a batch: 5 ms by default. */
  readonly lingerMs: number;
  /** The least time between two reads that are not full: 40 ms by default. More makes bigger batches and later effects. */
  readonly pauseMs: number;
  /** How often to read without a signal, as a safety net: 5,000 ms by default. */
  readonly pollMs: number;
  /** Attempts at an event before it stays parked: 5 by default. */
  readonly attemptsMax: number;
  /** The pause before the second attempt; it doubles, with jitter of ±20 %, up to `retryDelayMsMax`. 1,000 and 60,000 ms by default. */
  readonly retryDelayMs: number;
  readonly retryDelayMsMax: number;
  /** How long a lease lasts that is not renewed: 4,000 ms by default. Another process takes it within a second after that. */
  readonly leaseMs: number;
}

export interface LoopNeeds {
  readonly subscription: Subscription;
  readonly source: EventSource;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  /** The batches shared with the other partitions of the subscription in this process; absent when it reads the whole log. */
  readonly shared?: SharedBatches;
  readonly options: LoopOptions;
  /** Called when the lease has been lost. */
  readonly onLeaseLost: () => void;
  /** Called when an event was parked, or its attempts are used up. */
  readonly onParked?: () => void;
}

/** The pauses while an older transaction is open, and after failures. */
const hiddenBackoff = { pauseMsMin: 5, pauseMsMax: 160 };
const failureBackoff = { pauseMsMin: 50, pauseMsMax: 2_000 };
/** Progress that is not stored yet is stored when no event has come for so long. */
const quietMs = 1_000;
/** How long a stop waits for a read under way. */
const stopMs = 1_500;

/** Reads one subscription's events and has them applied, while it holds the lease that the lease manager assigns. */
export class SubscriptionLoop {
  readonly #needs: LoopNeeds;
  readonly #sessionNeeds: LeaseSessionNeeds;
  readonly #waker = new Waker();
  readonly #stopping = new AbortController();
  readonly #watchers = new Set<() => void>();
  /** A lease for which no session has begun yet. */
  #assigned: Lease | undefined;
  #session: LeaseSession | undefined;
  #working = false;
  #renewedMs = 0;
  /** Reads in a row that found only hidden events, counted from 1. */
  #hiddenReads = 1;
  #readMs = Number.NEGATIVE_INFINITY;
  #alarm: { readonly dueMs: number; readonly off: AbortController } | undefined;
  #running: Promise<void> | undefined;
  #release: PromiseWithResolvers<Lease | undefined> | undefined;

  constructor(needs: LoopNeeds) {
    this.#needs = needs;
    const onProgress = () => {
      for (const watcher of this.#watchers) watcher();
    };
    this.#sessionNeeds = { ...needs, schemas: eventSchemas(needs.subscription.schemas), onProgress };
  }

  get name(): string {
    return this.#needs.subscription.name;
  }

  get publisher(): string {
    return this.#needs.subscription.publisher;
  }

  /** The lease that it holds, with the checkpoint last stored. */
  get lease(): Lease | undefined {
    return this.#assigned ?? this.#session?.lease;
  }

  /** The checkpoint up to which it has applied or parked events, stored or not; only while it holds the lease. */
  get progress(): Checkpoint | undefined {
    return this.#assigned ?? this.#session?.progress;
  }

  /** The lease with its progress in place of the stored checkpoint: to be released. */
  get leaseWithProgress(): Lease | undefined {
    return this.lease && { ...this.lease, ...this.progress };
  }

  /** Whether it could begin at once with a lease: not while it releases one, or still works under one that was revoked. */
  get readyForLease(): boolean {
    return this.lease === undefined && this.#release === undefined && !this.#working;
  }

  get releasing(): boolean {
    return this.#release !== undefined;
  }

  /** When its lease was last extended, on the monotonic clock. */
  get leasedMs(): number {
    return Math.max(this.#renewedMs, this.#session?.storedMs ?? 0);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends after the batch under way, and waits at most `stopMs` for a read. The lease manager releases the lease. */
  async stop(): Promise<void> {
    this.#waker.close();
    const deadline = setTimeout(() => this.#stopping.abort(), stopMs);
    await this.#running;
    clearTimeout(deadline);
  }

  wake(): void {
    this.#waker.raise();
  }

  /** Has it read now, whatever its pause. */
  hurry(): void {
    this.#waker.hurry();
    this.#needs.shared?.hurry();
  }

  assign(lease: Lease): void {
    this.#assigned = lease;
    this.renewed();
    this.#waker.raise();
  }

  renewed(): void {
    this.#renewedMs = performance.now();
  }

  /** Stops using its lease after the batch under way. Resolves with the lease and its progress, for the lease manager to release: undefined when it has none. */
  release(): Promise<Lease | undefined> {
    if (this.#waker.closed) return Promise.resolve(undefined);
    this.#release ??= Promise.withResolvers();
    this.#waker.raise();
    return this.#release.promise;
  }

  #released(lease: Lease | undefined): void {
    const release = this.#release;
    this.#release = undefined;
    release?.resolve(lease);
  }

  /** Revokes the lease with this fence; a newer one stays. */
  revoke(fence: bigint): void {
    if (this.#assigned?.fence === fence) this.#assigned = undefined;
    if (this.#session?.lease.fence === fence) this.#session = undefined;
  }

  /** Resolves at the next progress, or after `ms`. */
  progressed(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#watchers.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#watchers.add(done);
    });
  }

  async #run(): Promise<void> {
    const { options, log } = this.#needs;
    let failures = 0;
    while (!this.#waker.closed) {
      if (this.#release !== undefined) {
        const lease = this.leaseWithProgress;
        this.#assigned = undefined;
        this.#session = undefined;
        this.#released(lease);
      }
      let session = this.#session;
      try {
        if (this.#assigned !== undefined && (session = await this.#begin(this.#assigned)) === undefined) continue;
        if (session === undefined) {
          await this.#waker.wait(options.pollMs);
          continue;
        }
        this.#waker.lower();
        this.#working = true;
        const restMs = await this.#round(session);
        this.#working = false;
        failures = 0;
        if (restMs > 0) await this.#rest(restMs);
      } catch (error) {
        this.#working = false;
        if (error instanceof LeaseLost) {
          if (session !== undefined) this.revoke(session.lease.fence);
          this.#needs.onLeaseLost();
          continue;
        }
        if (this.#stopping.signal.aborted) break;
        log.warn({ error, subscription: this.name, publisher: this.publisher }, "a subscription could not go on, it tries again");
        await this.#waker.pause(backoffMs(failureBackoff, ++failures));
      }
    }
    this.#alarm?.off.abort();
    this.#released(undefined);
  }

  /** Begins a session under the lease: undefined when the lease was revoked or replaced meanwhile. */
  async #begin(lease: Lease): Promise<LeaseSession | undefined> {
    const session = await LeaseSession.begin(this.#sessionNeeds, lease);
    if (this.#assigned !== lease) return undefined;
    this.#session = session;
    this.#assigned = undefined;
    return session;
  }

  /** Retries parked events that are due, reads and applies a batch. Returns how long to rest: 0 when there is more at once. */
  async #round(session: LeaseSession): Promise<number> {
    const { source, options } = this.#needs;
    await session.retryDue(() => this.#waker.closed);
    this.#readMs = performance.now();
    const batch = await untilAborted(source.read(session.progress, options.batchMax), this.#stopping.signal);
    await session.apply(batch);
    this.#setAlarm(session.dueMs);

    if (batch.behind === "nothing") {
      this.#hiddenReads = 1;
      return session.stored ? options.pollMs : Math.min(options.pollMs, quietMs);
    }
    if (batch.behind === "more") return 0;
    // Committed events become readable without a signal: when an older transaction ends, in whatever database.
    this.#hiddenReads = batch.events.length > 0 ? 1 : this.#hiddenReads + 1;
    return backoffMs(hiddenBackoff, this.#hiddenReads);
  }

  /** Waits for a signal, at most `restMs`, and then until the next read may begin. */
  async #rest(restMs: number): Promise<void> {
    const { options, shared } = this.#needs;
    await this.#waker.wait(restMs);
    if (shared !== undefined) await shared.nextRead();
    else await this.#waker.pause(Math.max(options.lingerMs, options.pauseMs - (performance.now() - this.#readMs)));
  }

  /** Has the clock wake the loop when the next parked event is due. */
  #setAlarm(dueMs: number): void {
    if (dueMs === (this.#alarm?.dueMs ?? Number.POSITIVE_INFINITY)) return;
    this.#alarm?.off.abort();
    this.#alarm = undefined;
    if (dueMs === Number.POSITIVE_INFINITY) return;
    const alarm = { dueMs, off: new AbortController() };
    this.#alarm = alarm;
    void this.#needs.clock.until(new Date(dueMs), alarm.off.signal).then(() => {
      if (this.#alarm !== alarm) return;
      this.#alarm = undefined;
      this.#waker.raise();
    });
  }
}
