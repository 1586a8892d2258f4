import { ResponseError } from "@platformatic/kafka";
import type { Consumer } from "@platformatic/kafka";
import { backoffMs } from "../../retry/backoff.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { TopicOffsets } from "../checkpoint.ts";
import { closeQuietly, hasProtocolError } from "./kafka-client.ts";
import type { KafkaClient, TopicState } from "./kafka-client.ts";
import { addRecords, fromWindow, notifyListeners, recordsFrom } from "./partition-window.ts";
import type { Chunk, FetchResponse, PartitionWindow, RecordListener } from "./partition-window.ts";
import { Waker } from "../../changes/waker.ts";

const waitMs = 500;
const fetchBytes = 8 * 1_048_576;
const partitionBytes = 1_048_576;
const backoff = { pauseMsMin: 50, pauseMsMax: 2_000 };
/** Partitions that are followed within so short a time are planned together. */
const gatherMs = 5;
const latest = -1n;
const earliest = -2n;

/**
 * Fetches the newest records of the partitions that a process follows: once for all its subscriptions, with one waiting request to each broker. A
 * subscription that is further behind fetches on its own. Recovers from the loss of a broker, a change of leaders, and a topic created again.
 */
export class KafkaFeed {
  readonly #client: KafkaClient;
  readonly #log: Logger;
  readonly #waker = new Waker();
  readonly #windows = new Map<string, PartitionWindow>();
  #states: ReadonlyMap<string, TopicState> = new Map();
  #newest: Consumer | undefined;
  #older: Consumer | undefined;
  #replan = false;
  #unavailable = false;
  #running: Promise<void> | undefined;

  constructor(client: KafkaClient, log: Logger) {
    this.#client = client;
    this.#log = log;
  }

  /** Calls `listener` with the new records of a partition, and with none when some may have been missed. Returns a function that ends this. */
  follow(topic: string, partition: number, listener: RecordListener): () => void {
    const key = `${topic}#${partition}`;
    let window = this.#windows.get(key);
    if (window === undefined) {
      window = { topic, partition, listeners: new Set(), id: undefined, from: 0, to: 0, bytes: 0, records: [] };
      this.#windows.set(key, window);
      this.#planAgain();
    }
    window.listeners.add(listener);
    this.#running ??= this.#run();
    return () => {
      window.listeners.delete(listener);
      if (window.listeners.size > 0) return;
      this.#windows.delete(key);
      this.#planAgain();
    };
  }

  /** The records after an offset of a followed partition: from its beginning when the offset is of another topic. Undefined while Kafka is unavailable. */
  async read(topic: string, partition: number, after: TopicOffsets | undefined): Promise<Chunk | undefined> {
    const window = this.#windows.get(`${topic}#${partition}`);
    if (window?.id === undefined) return undefined;
    const offset = after?.topic === window.id ? (after.offsets[0] ?? 0) : 0;
    if (offset >= window.from && offset <= window.to) return fromWindow(window, window.id, offset);
    try {
      return await this.#readOlder(window, window.id, offset);
    } catch (error) {
      this.#noteFailure(error);
      this.#planAgain();
      return undefined;
    }
  }

  async stop(): Promise<void> {
    this.#waker.close();
    this.#planAgain();
    await this.#disconnect();
    await this.#running;
  }

  #planAgain(): void {
    this.#replan = true;
    this.#waker.raise();
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#waker.closed) {
      await this.#waker.pause(gatherMs);
      this.#replan = false;
      this.#waker.lower();
      try {
        if (this.#windows.size === 0) await this.#waker.wait(60_000);
        else {
          await this.#round(() => {
            failures = 0;
          });
        }
      } catch (error) {
        if (this.#waker.closed) break;
        this.#noteFailure(error);
        await this.#disconnect();
        await this.#waker.pause(backoffMs(backoff, ++failures));
      }
    }
    await this.#disconnect();
  }

  #noteFailure(error: unknown): void {
    if (this.#unavailable || this.#waker.closed) return;
    this.#unavailable = true;
    this.#log.warn({ error }, "Kafka is unavailable, subscriptions wait until it is available again");
  }

  /** Finds the leaders of all partitions, and fetches from each broker until something changes. */
  async #round(onSuccess: () => void): Promise<void> {
    const windows = [...this.#windows.values()];
    const names = [...new Set(windows.map(({ topic }) => topic))];
    const states = new Map(await Promise.all(names.map(async (name) => [name, await this.#client.topic(name)] as const)));
    this.#states = states;
    const consumer = (this.#newest ??= this.#client.consumer());
    await this.#findEnds(consumer, windows, states);
    const byLeader = Map.groupBy(windows, ({ topic, partition }) => states.get(topic)?.leaders[partition] ?? -1);
    if (byLeader.has(-1))
      throw new Error(`a topic has fewer partitions than its subscribers expect: ${byLeader.get(-1)!.map(({ topic }) => topic)[0]}`);
    for (const window of windows) notifyListeners(window, []);
    let first: { readonly error: unknown } | undefined;
    const following = Array.from(byLeader, async ([node, led]) => {
      try {
        while (!this.#replan && !this.#waker.closed) {
          await this.#fetchOnce(consumer, node, led);
          onSuccess();
          if (this.#unavailable) this.#log.info({}, "Kafka is available again");
          this.#unavailable = false;
        }
      } catch (error) {
        first ??= { error };
        this.#replan = true;
      }
    });
    await Promise.all(following);
    if (first !== undefined) throw first.error;
  }

  /** A partition that is newly followed, or whose topic was created again, is followed from its end. */
  async #findEnds(consumer: Consumer, windows: readonly PartitionWindow[], states: ReadonlyMap<string, TopicState>): Promise<void> {
    const unknown = windows.filter(({ topic, id }) => states.get(topic)?.id !== id);
    for (const [topic, found] of Map.groupBy(unknown, (window) => window.topic)) {
      const state = states.get(topic)!;
      const partitions = found.map(({ partition }) => partition).filter((partition) => partition < state.leaders.length);
      const ends = (await consumer.listOffsets({ topics: [topic], partitions: { [topic]: partitions }, timestamp: latest })).get(topic);
      for (const window of found) {
        const end = Number(ends?.[window.partition] ?? 0n);
        Object.assign(window, { id: state.id, from: end, to: end, bytes: 0, records: [] });
      }
    }
  }

  async #fetchOnce(consumer: Consumer, node: number, windows: readonly PartitionWindow[]): Promise<void> {
    const topics = Array.from(
      Map.groupBy(windows, ({ id }) => id!),
      ([topicId, partitions]) => ({ topicId, partitions: partitions.map(({ partition, to }) => fetchOf(partition, to)) }),
    );
    let failed: Error | undefined;
    let response: FetchResponse;
    try {
      response = await consumer.fetch({ node, topics, minBytes: 1, maxBytes: fetchBytes, maxWaitTime: waitMs });
    } catch (error) {
      // The response also has the partitions that did not fail.
      if (!(error instanceof ResponseError)) throw error;
      failed = error;
      response = error["response"] as FetchResponse;
    }
    for (const { topicId, partitions } of response.responses)
      for (const { partitionIndex, records, errorCode } of partitions) {
        const window = windows.find(({ id, partition }) => id === topicId && partition === partitionIndex);
        if (window === undefined) continue;
        // The offset does not exist, or the topic was created again: the end is looked up again.
        if (errorCode !== 0) window.id = undefined;
        else if (records !== undefined) addRecords(window, recordsFrom(records, window.to));
      }
    if (failed !== undefined) throw failed;
  }

  async #readOlder(window: PartitionWindow, id: string, offset: number): Promise<Chunk> {
    const consumer = (this.#older ??= this.#client.consumer());
    try {
      return await fetchOlder(consumer, this.#states.get(window.topic)?.leaders[window.partition] ?? -1, window.partition, id, offset);
    } catch (error) {
      if (hasProtocolError(error, "OFFSET_OUT_OF_RANGE")) {
        const first = await consumer.listOffsets({
          topics: [window.topic],
          partitions: { [window.topic]: [window.partition] },
          timestamp: earliest,
        });
        const from = Number(first.get(window.topic)?.[window.partition] ?? 0n);
        if (from !== offset) return { id, records: [], next: from, more: true };
      }
      if (this.#older === consumer) this.#older = undefined;
      await closeQuietly(consumer);
      throw error;
    }
  }

  async #disconnect(): Promise<void> {
    const open = [this.#newest, this.#older];
    this.#newest = this.#older = undefined;
    await Promise.all(open.map(closeQuietly));
  }
}

function fetchOf(partition: number, offset: number) {
  return {
    partition: partition,
    currentLeaderEpoch: -1,
    fetchOffset: BigInt(offset),
    lastFetchedEpoch: -1,
    partitionMaxBytes: partitionBytes,
  };
}

async function fetchOlder(consumer: Consumer, node: number, partition: number, id: string, offset: number): Promise<Chunk> {
  const { responses } = await consumer.fetch({
    node,
    topics: [{ topicId: id, partitions: [fetchOf(partition, offset)] }],
    minBytes: 0,
    maxBytes: partitionBytes,
    maxWaitTime: 0,
  });
  const records = recordsFrom(responses[0]?.partitions[0]?.records ?? [], offset);
  return { id, records: records.received, next: records.next, more: records.next > offset };
}
