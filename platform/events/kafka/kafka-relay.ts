import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import type { Database } from "../../database/database.ts";
import { backoffMs } from "../../retry/backoff.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { readLog } from "../log/read-log.ts";
import { relayName } from "../log/relay-checkpoint.ts";
import { comparePositions } from "../position.ts";
import { advance, leaseChannel, LeaseLost, releaseLeases, renewLeases, takeLeases } from "../subscriptions/lease-store.ts";
import type { Lease } from "../subscriptions/lease-store.ts";
import { registerSubscriptions } from "../subscriptions/subscription-store.ts";
import { untilAborted } from "../until-aborted.ts";
import { Waker } from "../../changes/waker.ts";
import type { Wakeups } from "../wakeups.ts";
import { hasProtocolError } from "./kafka-client.ts";
import type { KafkaClient } from "./kafka-client.ts";
import { Publication } from "./publication.ts";

export interface RelayOptions {
  /** Events a read: 500 by default. */
  readonly batchMax: number;
  /** The least time between two reads: 25 ms by default. More makes bigger batches and later events. */
  readonly pauseMs: number;
  /** How often to read without a signal, as a safety net: 5,000 ms by default. */
  readonly pollMs: number;
  /** How often the checkpoint is stored while events are published: 100 ms by default. After a crash the events since then are published again. */
  readonly storeMs: number;
  /** Bytes a request: 800,000 by default. A larger event than half of it is published without its data, which subscribers then read from the log. */
  readonly requestBytesMax: number;
  /** How long a lease lasts that is not renewed: 4,000 ms by default. */
  readonly leaseMs: number;
}

const defaults: RelayOptions = { batchMax: 500, pauseMs: 25, pollMs: 5_000, storeMs: 100, requestBytesMax: 800_000, leaseMs: 4_000 };
/** When a log has been quiet for so long its checkpoint is stored, also before `storeMs` have passed. */
const quietMs = 10;
const hiddenMs = 10;
const takeMs = 1_000;
const stopMs = 1_500;
const requestBytesMin = 4_096;
const backoff = { pauseMsMin: 100, pauseMsMax: 3_000 };
/** A failure is logged the first time, and again about every five minutes. */
const logEvery = 100;

export interface RelayNeeds {
  /** The publisher. */
  readonly service: string;
  /** The publisher's, with its log. */
  readonly database: Database;
  readonly wakeups: Wakeups;
  readonly client: KafkaClient;
  readonly log: Logger;
  readonly options?: Partial<RelayOptions>;
}

/**
 * Publishes a service's log to its topic, in the log's order: each event at least once, and none before the earlier ones of its partition. Of all
 * processes one does so, under a lease. The checkpoint moves after the broker's acknowledgement. While Kafka is unavailable the log grows.
 *
 * Two relays that both believe to hold the lease do no harm: each publishes without a gap from a stored checkpoint, and subscribers drop events that
 * are not after their position.
 */
export class KafkaRelay {
  readonly #needs: RelayNeeds;
  readonly #options: RelayOptions;
  readonly #owner: string;
  readonly #waker = new Waker();
  readonly #stopping = new AbortController();
  /** Raised when the lease may have become free: a relay without it must not wake at the log's signals. */
  readonly #leaseFreed = new Waker();
  /** Its checkpoint is the stored one. */
  #lease: Lease | undefined;
  #publication: Publication | undefined;
  /** Records published since the checkpoint was last stored. */
  #published = 0;
  #storedMs = 0;
  #leasedMs = 0;
  #requestBytes: number;
  #endings: (() => Promise<void> | void)[] = [];
  #starting: Promise<void> | undefined;
  #running: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(needs: RelayNeeds) {
    this.#needs = needs;
    this.#options = { ...defaults, ...needs.options };
    this.#requestBytes = this.#options.requestBytesMax;
    this.#owner = `${needs.service}-${randomUUID()}`;
  }

  /** Must run after the event log of this process has started. Does not wait for Kafka. */
  start(): Promise<void> {
    return (this.#starting ??= this.#start());
  }

  /** Ends after the batch under way and releases the lease, so that another process can go on at once. */
  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  async #start(): Promise<void> {
    const { database, service, wakeups } = this.#needs;
    await registerSubscriptions(database, [{ name: relayName, publisher: service }]);
    this.#endings.push(await database.listen(leaseChannel, () => this.#leaseFreed.raise()));
    this.#endings.push(wakeups.listen(service, () => this.#waker.raise()));
    const renewal = setInterval(() => void this.#renew(), this.#options.leaseMs / 4);
    this.#endings.push(() => clearInterval(renewal));
    this.#running = this.#run();
  }

  async #stop(): Promise<void> {
    const { database, service, log } = this.#needs;
    await this.#starting?.catch(() => undefined); // the caller of start got the error
    this.#waker.close();
    this.#leaseFreed.close();
    this.#stopping.abort();
    // Waits for a request under way, unless the broker hangs: what it has published need not be published again.
    const deadline = setTimeout(() => void this.#closePublication(), stopMs);
    await this.#running;
    clearTimeout(deadline);
    await Promise.all(this.#endings.map(async (end) => end()));
    await this.#closePublication();
    const lease = this.#lease;
    this.#lease = undefined;
    if (lease === undefined) return;
    try {
      await releaseLeases(database, [lease]);
      await database.notify(leaseChannel);
    } catch (error) {
      log.warn({ error, service }, "the relay's lease could not be released, it expires after its time-out");
    }
  }

  async #run(): Promise<void> {
    const { service, log } = this.#needs;
    let failures = 0;
    while (!this.#waker.closed) {
      try {
        this.#lease ??= await this.#take();
        if (this.#lease === undefined) {
          await this.#leaseFreed.wait(takeMs);
          continue;
        }
        const restMs = await this.#round(this.#lease);
        if (failures > 0) log.info({ service }, "the relay publishes again");
        failures = 0;
        if (restMs > 0) await this.#waker.wait(restMs);
      } catch (error) {
        await this.#closePublication();
        if (error instanceof LeaseLost) {
          this.#lease = undefined;
          continue;
        }
        if (this.#waker.closed) break;
        if (hasProtocolError(error, "MESSAGE_TOO_LARGE") || hasProtocolError(error, "RECORD_LIST_TOO_LARGE")) this.#halveRequests(error);
        else if (failures++ % logEvery === 0)
          log.warn({ error, service, failures }, "the relay cannot publish, the log grows until it can");
        await this.#waker.pause(backoffMs(backoff, failures + 1));
      }
    }
    await this.#storeLast();
  }

  async #take(): Promise<Lease | undefined> {
    const [lease] = await takeLeases(this.#needs.database, this.#owner, [relayName], this.#options.leaseMs);
    this.#leasedMs = performance.now();
    return lease;
  }

  /** Runs on a timer of its own, because the loop may wait for a broker longer than a lease lasts. */
  async #renew(): Promise<void> {
    const { database, service, log } = this.#needs;
    const lease = this.#lease;
    if (lease === undefined || performance.now() - this.#leasedMs < this.#options.leaseMs / 2) return;
    this.#leasedMs = performance.now();
    try {
      const [held] = await renewLeases(database, [lease], this.#options.leaseMs);
      if (held === undefined && this.#lease?.fence === lease.fence) this.#lease = undefined;
    } catch (error) {
      log.warn({ error, service }, "the relay's lease could not be renewed, it is tried again");
    }
  }

  /** Publishes the readable events of the log. Returns how long to rest. */
  async #round(lease: Lease): Promise<number> {
    const { database } = this.#needs;
    const { batchMax, pauseMs, pollMs, storeMs } = this.#options;
    this.#waker.lower();
    const onPublished = (records: number) => void (this.#published += records);
    const publication = (this.#publication ??= await untilAborted(
      Publication.begin({ ...this.#needs, onPublished }, lease),
      this.#stopping.signal,
    ));
    const readMs = performance.now();
    const { events, next, head } = await readLog(database, publication.position, { types: [], limit: batchMax });
    await publication.publish(events, this.#requestBytes);
    // After the last event the log's tip, which need not be the position of an event that was read.
    publication.advance(next);
    if (events.length === 0 || performance.now() - this.#storedMs >= storeMs) await this.#store(publication);
    if (events.length === batchMax) return 0;
    if (events.length > 0) await this.#waker.pause(pauseMs - (performance.now() - readMs));
    if (comparePositions(head, next) > 0) return hiddenMs;
    return this.#lease !== undefined && publication.isAheadOf(this.#lease) ? quietMs : pollMs;
  }

  /** Stores the checkpoint, if it is ahead of the stored one. */
  async #store(publication: Publication): Promise<void> {
    const lease = this.#lease;
    if (lease === undefined || !publication.isAheadOf(lease)) return;
    const to = publication.checkpoint;
    const published = this.#published;
    await advance(this.#needs.database, lease, to, published, this.#options.leaseMs);
    this.#published -= published;
    this.#storedMs = this.#leasedMs = performance.now();
    if (this.#lease === lease) this.#lease = { ...lease, ...to };
  }

  async #storeLast(): Promise<void> {
    try {
      if (this.#publication !== undefined) await this.#store(this.#publication);
    } catch (error) {
      const { service, log } = this.#needs;
      if (!(error instanceof LeaseLost))
        log.warn({ error, service }, "the relay's last checkpoint could not be stored, some events are published again");
    }
  }

  #halveRequests(error: unknown): void {
    const { service, log } = this.#needs;
    const before = this.#requestBytes;
    this.#requestBytes = Math.max(requestBytesMin, Math.floor(before / 2));
    const fields = { error, service, bytes: this.#requestBytes };
    if (this.#requestBytes < before) log.warn(fields, "the broker refuses requests of the relay as too large, it sends smaller ones");
    else log.error(fields, "the broker refuses even the smallest request of the relay: raise max.message.bytes of the topic");
  }

  async #closePublication(): Promise<void> {
    const publication = this.#publication;
    this.#publication = undefined;
    await publication?.close();
  }
}
