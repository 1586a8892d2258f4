import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import type { MessageToProduce, Producer } from "@platformatic/kafka";
import type { Database } from "../../database/database.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { SourceEvent } from "../transport/event-source.ts";
import { closeQuietly, hasProtocolError } from "./kafka-client.ts";
import type { KafkaClient } from "./kafka-client.ts";
import { recordOf, recordSize } from "./event-record.ts";
import { beginning, comparePlaces } from "../position.ts";
import type { Place, Stand } from "../position.ts";
import { markText, readMark } from "../transport/log-progress.ts";
import { readLog } from "../log/read-events.ts";
import { relayName } from "../log/relay-checkpoint.ts";
import {
  advance,
  leaseChannel,
  LeaseLost,
  registerSubscriptions,
  releaseLeases,
  renewLeases,
  takeLeases,
} from "../subscriptions/subscription-store.ts";
import type { Lease } from "../subscriptions/subscription-store.ts";
import { Waker } from "../waker.ts";
import type { Wakeups } from "../wakeups.ts";

export interface RelayOptions {
  /** Events a read: 500 by default. */
  readonly batchMax: number;
  /** The least time between two reads: 25 ms by default. More makes bigger batches and later events. */
  readonly pauseMs: number;
  /** How often to look without a signal, as a safety net: 5,000 ms by default. */
  readonly pollMs: number;
  /** How often the place is stored while events flow: 100 ms by default. After a crash as much is published again. */
  readonly storeMs: number;
  /** Bytes a request: 800,000 by default. An event of more than half of it goes without its data, which readers then fetch from the log. */
  readonly sendBytesMax: number;
  /** How long a lease lasts that is not renewed: 4,000 ms by default. */
  readonly leaseMs: number;
}

const defaults: RelayOptions = { batchMax: 500, pauseMs: 25, pollMs: 5_000, storeMs: 100, sendBytesMax: 800_000, leaseMs: 4_000 };
/** A log that has been quiet for so long has its place stored, also before its time. */
const quietMs = 10;
const hiddenMs = 10;
const takeMs = 1_000;
const stopMs = 1_500;
const sendBytesMin = 4_096;
const backoffMsMin = 100;
const backoffMsMax = 3_000;
/** A failure is told the first time, and again about every five minutes. */
const tellEvery = 100;

export interface RelayNeeds {
  /** The publisher. */
  readonly service: string;
  /** Its own, with its log. */
  readonly database: Database;
  readonly wakeups: Wakeups;
  readonly client: KafkaClient;
  readonly log: Logger;
  readonly options?: Partial<RelayOptions>;
}

/** Where the relay writes to, and how far it has come. */
interface Course {
  readonly topic: string;
  readonly topicId: string;
  readonly producer: Producer;
  readonly ends: number[];
  at: Place;
}

/**
 * Publishes a service's log to its topic, in the log's order: each event at least once, and none before those that come before it in its part. Of
 * all processes one does so, under a lease. Its place moves after the acknowledgement. While Kafka is away the log grows.
 *
 * Two that believe to hold the lease do no harm: each publishes without a gap from a place that was stored, and readers pass over what their
 * place covers.
 */
export class KafkaRelay {
  readonly #needs: RelayNeeds;
  readonly #options: RelayOptions;
  readonly #owner: string;
  readonly #waker = new Waker();
  /** For one that waits for the lease, whom the log's signals do not concern. */
  readonly #freed = new Waker();
  /** Its place is the one stored. */
  #lease: Lease | undefined;
  #course: Course | undefined;
  #published = 0;
  #storedMs = 0;
  #leasedMs = 0;
  #sendBytes: number;
  #endings: (() => Promise<void> | void)[] = [];
  #starting: Promise<void> | undefined;
  #running: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(needs: RelayNeeds) {
    this.#needs = needs;
    this.#options = { ...defaults, ...needs.options };
    this.#sendBytes = this.#options.sendBytesMax;
    this.#owner = `${needs.service}-${randomUUID()}`;
  }

  /** After the event log of this process. Does not wait for Kafka. */
  start(): Promise<void> {
    return (this.#starting ??= this.#start());
  }

  /** Ends after the batch under way and lets another process go on at once. */
  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  async #start(): Promise<void> {
    const { database, service, wakeups } = this.#needs;
    await registerSubscriptions(database, [{ name: relayName, publisher: service }]);
    this.#endings.push(await database.listen(leaseChannel, () => this.#freed.raise()));
    this.#endings.push(wakeups.listen(service, () => this.#waker.raise()));
    const renewal = setInterval(() => void this.#renew(), this.#options.leaseMs / 4);
    this.#endings.push(() => clearInterval(renewal));
    this.#running = this.#run();
  }

  async #stop(): Promise<void> {
    const { database, service, log } = this.#needs;
    await this.#starting?.catch(() => undefined); // whoever started has been told
    this.#waker.close();
    this.#freed.close();
    // A send under way is waited for, unless the broker hangs: what it has published need not be published again.
    const hurry = setTimeout(() => void this.#abandonCourse(), stopMs);
    await this.#running;
    clearTimeout(hurry);
    await Promise.all(this.#endings.map(async (end) => end()));
    await this.#abandonCourse();
    const lease = this.#lease;
    this.#lease = undefined;
    if (lease === undefined) return;
    try {
      await releaseLeases(database, [lease]);
      await database.notify(leaseChannel);
    } catch (error) {
      log.warn({ error, service }, "the relay's lease could not be given back, it runs out by itself");
    }
  }

  async #run(): Promise<void> {
    const { service, log } = this.#needs;
    let failures = 0;
    while (!this.#waker.closed) {
      try {
        this.#lease ??= await this.#take();
        if (this.#lease === undefined) {
          await this.#freed.wait(takeMs);
          continue;
        }
        const restMs = await this.#round(this.#lease);
        if (failures > 0) log.info({ service }, "the relay publishes again");
        failures = 0;
        if (restMs > 0) await this.#waker.wait(restMs);
      } catch (error) {
        await this.#abandonCourse();
        if (error instanceof LeaseLost) {
          this.#lease = undefined;
          continue;
        }
        if (hasProtocolError(error, "MESSAGE_TOO_LARGE") || hasProtocolError(error, "RECORD_LIST_TOO_LARGE")) this.#sendLess(error);
        else if (failures++ % tellEvery === 0)
          log.warn({ error, service, failures }, "the relay cannot publish, the log grows until it can");
        await this.#waker.pause(Math.min(backoffMsMin * 2 ** Math.min(failures, 10), backoffMsMax));
      }
    }
    await this.#storeLast();
  }

  async #take(): Promise<Lease | undefined> {
    const [lease] = await takeLeases(this.#needs.database, this.#owner, [relayName], this.#options.leaseMs);
    this.#leasedMs = performance.now();
    return lease;
  }

  /** Beside the loop, which may wait for a broker longer than a lease lasts. */
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

  /** Publishes what can be read. Gives how long to rest. */
  async #round(lease: Lease): Promise<number> {
    const { database } = this.#needs;
    const { batchMax, pauseMs, pollMs, storeMs } = this.#options;
    this.#waker.lower();
    const course = (this.#course ??= await this.#begin(lease));
    const readMs = performance.now();
    const { events, next, head } = await readLog(database, course.at, { types: [], limit: batchMax });
    await this.#publish(course, events);
    // Behind the last event the place is that of the log's tip, which may be no event that was read.
    course.at = next;
    const due = events.length === 0 || performance.now() - this.#storedMs >= storeMs;
    if (due && this.#isAhead(course)) await this.#store(course);
    if (events.length === batchMax) return 0;
    if (events.length > 0) await this.#waker.pause(pauseMs - (performance.now() - readMs));
    if (comparePlaces(head, next) > 0) return hiddenMs;
    return this.#isAhead(course) ? quietMs : pollMs;
  }

  /** From the place stored; from the log's beginning in a topic that is not the one that it was stored for. */
  async #begin(lease: Lease): Promise<Course> {
    const { client, service, log } = this.#needs;
    const topic = client.topicOf(service);
    const mark = readMark(lease.mark);
    const { id, leaders } = await client.topic(topic, mark?.offsets.length);
    const parts = mark?.offsets.length ?? leaders.length;
    if (leaders.length < parts)
      throw new Error(
        `the topic ${topic} has ${leaders.length} parts, its readers are made for ${parts}: delete it, so that it is made and filled anew`,
      );
    const known = mark?.topic === id;
    if (mark !== undefined && !known)
      log.warn({ service, topic }, "the topic is another one than before, the whole log is published to it");
    const ends = known ? [...mark.offsets] : Array.from({ length: parts }, () => 0);
    return { topic, topicId: id, producer: client.producer(), ends, at: known ? lease : beginning };
  }

  async #publish(course: Course, events: readonly SourceEvent[]): Promise<void> {
    const { service } = this.#needs;
    const options = { service, topic: course.topic, parts: course.ends.length, dataMax: this.#sendBytes / 2 };
    let messages: MessageToProduce[] = [];
    let size = 0;
    for (const [nth, event] of events.entries()) {
      const message = recordOf(event, options);
      const more = recordSize(message);
      if (messages.length > 0 && size + more > this.#sendBytes) {
        await this.#send(course, messages, events[nth - 1]!.place);
        messages = [];
        size = 0;
      }
      messages.push(message);
      size += more;
    }
    if (messages.length > 0) await this.#send(course, messages, events.at(-1)!.place);
  }

  /** One request at a time: a part of which a later one succeeded before an earlier one would have a gap that its readers pass over. */
  async #send(course: Course, messages: MessageToProduce[], to: Place): Promise<void> {
    const { producer, topic, topicId, ends } = course;
    const counts = new Map<number, number>();
    for (const { partition = 0 } of messages) counts.set(partition, (counts.get(partition) ?? 0) + 1);
    const { offsets = [] } = await producer.send({ messages });
    if (producer.currentMetadata?.topics.get(topic)?.id !== topicId) throw new Error(`the topic ${topic} was made anew`);
    for (const { partition, offset } of offsets) ends[partition] = Math.max(ends[partition] ?? 0, Number(offset) + counts.get(partition)!);
    this.#published += messages.length;
    course.at = to;
  }

  #isAhead({ at, topicId, ends }: Course): boolean {
    const lease = this.#lease;
    return lease !== undefined && (comparePlaces(at, lease) !== 0 || markText(topicId, ends) !== lease.mark);
  }

  async #store({ at, topicId, ends }: Course): Promise<void> {
    const lease = this.#lease;
    if (lease === undefined) return;
    const { epoch, xid, position } = at;
    const to: Stand = { epoch, xid, position, mark: markText(topicId, ends) };
    const published = this.#published;
    await advance(this.#needs.database, lease, to, published, this.#options.leaseMs);
    this.#published -= published;
    this.#storedMs = this.#leasedMs = performance.now();
    if (this.#lease === lease) this.#lease = { ...lease, ...to };
  }

  async #storeLast(): Promise<void> {
    const course = this.#course;
    if (course === undefined || !this.#isAhead(course)) return;
    try {
      await this.#store(course);
    } catch (error) {
      const { service, log } = this.#needs;
      if (!(error instanceof LeaseLost))
        log.warn({ error, service }, "the relay's last place could not be stored, a little is published again");
    }
  }

  #sendLess(error: unknown): void {
    const { service, log } = this.#needs;
    const before = this.#sendBytes;
    this.#sendBytes = Math.max(sendBytesMin, Math.floor(before / 2));
    const fields = { error, service, bytes: this.#sendBytes };
    if (this.#sendBytes < before) log.warn(fields, "the broker takes less at once than the relay sent, it sends less");
    else log.error(fields, "the broker takes no message of the least size: raise max.message.bytes of the topic");
  }

  /** After an error nothing is known of what the producer had written: a new one begins at the place stored. */
  async #abandonCourse(): Promise<void> {
    const course = this.#course;
    this.#course = undefined;
    if (course !== undefined) await closeQuietly(course.producer);
  }
}
