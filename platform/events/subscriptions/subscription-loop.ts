import { performance } from "node:perf_hooks";
import type { Clock } from "../../clock/clock.ts";
import type { Database } from "../../database/database.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { eventSchemas } from "../event-schemas.ts";
import type { EventSource } from "../transport/event-source.ts";
import type { Subscription } from "../events.ts";
import type { SharedBatches } from "./shared-batches.ts";
import type { Stand } from "../position.ts";
import { LeaseLost } from "./subscription-store.ts";
import type { Lease } from "./subscription-store.ts";
import { LeaseSession } from "./lease-session.ts";
import type { LeaseSessionNeeds } from "./lease-session.ts";
import { Waker } from "../waker.ts";

export interface LoopOptions {
  /** Events a batch, which is one transaction: 200 by default. */
  readonly batchMax: number;
  /** How long to wait after a signal, so that events of concurrent writers share a batch: 5 ms by default. */
  readonly lingerMs: number;
  /** The least time between two reads that are not full: 40 ms by default. More makes bigger batches and later effects. */
  readonly pauseMs: number;
  /** How often to look without a signal, as a safety net: 5,000 ms by default. */
  readonly pollMs: number;
  /** Tries of an event before it stays parked: 5 by default. */
  readonly attemptsMax: number;
  /** The pause before the second try; it doubles, with jitter of ±20 %, up to `retryDelayMsMax`. 1,000 and 60,000 ms by default. */
  readonly retryDelayMs: number;
  readonly retryDelayMsMax: number;
  /** How long a lease lasts that is not renewed: 4,000 ms by default. Others take it over within a second after that. */
  readonly leaseMs: number;
}

export interface LoopNeeds {
  readonly subscription: Subscription;
  readonly source: EventSource;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  /** What it does together with the other parts of its subscription in this process; absent when it is whole. */
  readonly shared?: SharedBatches;
  readonly options: LoopOptions;
  /** Called when a lease turned out to be lost. */
  readonly lost: () => void;
  /** Called when an event was parked, or its tries are used up. */
  readonly parked?: () => void;
}

/** How long to wait for an older writer to end: first short, then longer. */
const hiddenMsMin = 5;
const hiddenMsMax = 160;
const backoffMsMin = 50;
const backoffMsMax = 2_000;
/** A place not yet stored is, when nothing comes for so long. */
const quietMs = 1_000;

/** Reads one subscription's events and has them applied, while it holds the lease that its keeper gives it. */
export class SubscriptionLoop {
  readonly #needs: LoopNeeds;
  readonly #tenureNeeds: LeaseSessionNeeds;
  readonly #waker = new Waker();
  readonly #watchers = new Set<() => void>();
  #given: Lease | undefined;
  #session: LeaseSession | undefined;
  #working = false;
  #renewedMs = 0;
  #hiddenMs = hiddenMsMin;
  #readMs = Number.NEGATIVE_INFINITY;
  #alarm: { readonly dueMs: number; readonly off: AbortController } | undefined;
  #running: Promise<void> | undefined;
  #leaving: PromiseWithResolvers<Lease | undefined> | undefined;

  constructor(needs: LoopNeeds) {
    this.#needs = needs;
    const moved = () => {
      for (const watcher of this.#watchers) watcher();
    };
    this.#tenureNeeds = { ...needs, schemas: eventSchemas(needs.subscription.schemas), moved };
  }

  get name(): string {
    return this.#needs.subscription.name;
  }

  get publisher(): string {
    return this.#needs.subscription.publisher;
  }

  /** The lease that it works under, with the place last stored. */
  get lease(): Lease | undefined {
    return this.#given ?? this.#session?.lease;
  }

  /** How far it has applied or parked; only while it holds the lease. */
  get stand(): Stand | undefined {
    return this.#given ?? this.#session?.stand;
  }

  /** The lease with the place reached, stored or not. */
  get standing(): Lease | undefined {
    return this.lease && { ...this.lease, ...this.stand };
  }

  /** Whether it could begin at once with a lease: not while it gives one away, or is still at work under one that was taken from it. */
  get ready(): boolean {
    return this.lease === undefined && this.#leaving === undefined && !this.#working;
  }

  /** Whether it is about to give its lease away. */
  get leaving(): boolean {
    return this.#leaving !== undefined;
  }

  /** When its lease was last made longer, on the monotonic clock. */
  get leasedMs(): number {
    return Math.max(this.#renewedMs, this.#session?.storedMs ?? 0);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends after the batch under way. The lease is for the keeper to give back. */
  async stop(): Promise<void> {
    this.#waker.close();
    await this.#running;
  }

  wake(): void {
    this.#waker.raise();
  }

  give(lease: Lease): void {
    this.#given = lease;
    this.renewed();
    this.#waker.raise();
  }

  renewed(): void {
    this.#renewedMs = performance.now();
  }

  /** Gives its lease away after the batch under way, for the keeper to give back: with the place reached, or undefined when it has none. */
  leave(): Promise<Lease | undefined> {
    if (this.#waker.closed) return Promise.resolve(undefined);
    this.#leaving ??= Promise.withResolvers();
    this.#waker.raise();
    return this.#leaving.promise;
  }

  #left(lease: Lease | undefined): void {
    const leaving = this.#leaving;
    this.#leaving = undefined;
    leaving?.resolve(lease);
  }

  /** Takes the lease away, unless it is a newer one by now. */
  drop(fence: bigint): void {
    if (this.#given?.fence === fence) this.#given = undefined;
    if (this.#session?.lease.fence === fence) this.#session = undefined;
  }

  /** Resolves when the place has moved, or after `ms`. */
  moved(ms: number): Promise<void> {
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
    const { options, log, shared } = this.#needs;
    let failures = 0;
    while (!this.#waker.closed) {
      if (this.#leaving !== undefined) {
        const lease = this.standing;
        this.#given = undefined;
        this.#session = undefined;
        this.#left(lease);
      }
      const given = this.#given;
      let session = this.#session;
      try {
        if (given !== undefined) {
          session = await LeaseSession.begin(this.#tenureNeeds, given);
          // Taken away or replaced meanwhile.
          if (this.#given !== given) continue;
          this.#session = session;
          this.#given = undefined;
        }
        if (session === undefined) {
          await this.#waker.wait(options.pollMs);
          continue;
        }
        this.#waker.lower();
        this.#working = true;
        const restMs = await this.#round(session);
        this.#working = false;
        failures = 0;
        if (restMs === 0) continue;
        await this.#waker.wait(restMs);
        if (shared !== undefined) await shared.turn();
        else await this.#waker.pause(Math.max(options.lingerMs, options.pauseMs - (performance.now() - this.#readMs)));
      } catch (error) {
        this.#working = false;
        if (error instanceof LeaseLost) {
          if (session !== undefined) this.drop(session.lease.fence);
          this.#needs.lost();
          continue;
        }
        log.warn({ error, subscription: this.name, publisher: this.publisher }, "a subscription cannot go on, it tries again");
        await this.#waker.pause(Math.min(backoffMsMin * 2 ** failures++, backoffMsMax));
      }
    }
    this.#alarm?.off.abort();
    this.#left(undefined);
  }

  /** Retries what is due, reads and applies a batch. Gives how long to rest: 0 when there is more at once. */
  async #round(session: LeaseSession): Promise<number> {
    const { source, options } = this.#needs;
    await session.retryDue(() => this.#waker.closed);
    this.#readMs = performance.now();
    const batch = await source.read(session.stand, options.batchMax);
    await session.take(batch);
    this.#setAlarm(session.dueMs);

    if (batch.behind === "nothing") {
      this.#hiddenMs = hiddenMsMin;
      return session.stored ? options.pollMs : Math.min(options.pollMs, quietMs);
    }
    if (batch.behind === "more") return 0;
    // What is committed and may not be read yet becomes so without a signal: when an older transaction ends, of whatever database.
    this.#hiddenMs = batch.events.length > 0 ? hiddenMsMin : Math.min(this.#hiddenMs * 2, hiddenMsMax);
    return this.#hiddenMs;
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
