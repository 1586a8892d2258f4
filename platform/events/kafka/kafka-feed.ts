import { ResponseError } from "@platformatic/kafka";
import type { Consumer } from "@platformatic/kafka";
import type { Logger } from "../../telemetry/logger.ts";
import { closeQuietly, hasProtocolError } from "./kafka-client.ts";
import type { KafkaClient, TopicState } from "./kafka-client.ts";
import { fromWindow, recordsFrom, take, tell } from "./partition-window.ts";
import type { Chunk, FetchResponse, Heard, Window } from "./partition-window.ts";
import type { Mark } from "../transport/log-progress.ts";
import { Waker } from "../waker.ts";

const waitMs = 500;
const fetchBytes = 8 * 1_048_576;
const partBytes = 1_048_576;
const backoffMsMin = 50;
const backoffMsMax = 2_000;
/** Those who begin together are planned together. */
const gatherMs = 5;
const latest = -1n;
const earliest = -2n;

/**
 * Fetches the ends of the parts that a process follows: once for all its subscriptions, and with one waiting request to each broker. Who is
 * behind fetches for himself. Goes on by itself after the loss of a broker, a change of leaders, or a topic made anew.
 */
export class KafkaFeed {
  readonly #client: KafkaClient;
  readonly #log: Logger;
  readonly #waker = new Waker();
  readonly #windows = new Map<string, Window>();
  #states: ReadonlyMap<string, TopicState> = new Map();
  #tail: Consumer | undefined;
  #behind: Consumer | undefined;
  #replan = false;
  #away = false;
  #running: Promise<void> | undefined;

  constructor(client: KafkaClient, log: Logger) {
    this.#client = client;
    this.#log = log;
  }

  /** Calls `heard` with what arrives in a part, and with nothing when something may have been missed. Gives what ends it. */
  follow(topic: string, part: number, heard: Heard): () => void {
    const key = `${topic}#${part}`;
    let window = this.#windows.get(key);
    if (window === undefined) {
      window = { topic, part, listeners: new Set(), id: undefined, from: 0, to: 0, bytes: 0, records: [] };
      this.#windows.set(key, window);
      this.#planAgain();
    }
    window.listeners.add(heard);
    this.#running ??= this.#run();
    return () => {
      window.listeners.delete(heard);
      if (window.listeners.size > 0) return;
      this.#windows.delete(key);
      this.#planAgain();
    };
  }

  /** What follows on a mark in a part that is followed; from its beginning when the mark is of another topic. Undefined while Kafka is away. */
  async read(topic: string, part: number, after: Mark | undefined): Promise<Chunk | undefined> {
    const window = this.#windows.get(`${topic}#${part}`);
    if (window?.id === undefined) return undefined;
    const offset = after?.topic === window.id ? (after.offsets[0] ?? 0) : 0;
    if (offset >= window.from && offset <= window.to) return fromWindow(window, window.id, offset);
    try {
      return await this.#readBehind(window, window.id, offset);
    } catch (error) {
      this.#failed(error);
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
        this.#failed(error);
        await this.#disconnect();
        await this.#waker.pause(Math.min(backoffMsMin * 2 ** failures++, backoffMsMax));
      }
    }
    await this.#disconnect();
  }

  #failed(error: unknown): void {
    if (this.#away || this.#waker.closed) return;
    this.#away = true;
    this.#log.warn({ error }, "Kafka cannot be read, subscriptions wait until it can");
  }

  /** Finds out who leads what, and fetches from each broker until something changes. */
  async #round(works: () => void): Promise<void> {
    const windows = [...this.#windows.values()];
    const names = [...new Set(windows.map(({ topic }) => topic))];
    const states = new Map(await Promise.all(names.map(async (name) => [name, await this.#client.topic(name)] as const)));
    this.#states = states;
    const tail = (this.#tail ??= this.#client.consumer());
    await this.#findEnds(tail, windows, states);
    const byLeader = Map.groupBy(windows, ({ topic, part }) => states.get(topic)?.leaders[part] ?? -1);
    if (byLeader.has(-1))
      throw new Error(`a topic has fewer parts than its subscribers: ${byLeader.get(-1)!.map(({ topic }) => topic)[0]}`);
    for (const window of windows) tell(window, []);
    let first: { readonly error: unknown } | undefined;
    const following = Array.from(byLeader, async ([node, led]) => {
      try {
        while (!this.#replan && !this.#waker.closed) {
          await this.#fetchOnce(tail, node, led);
          works();
          if (this.#away) this.#log.info({}, "Kafka can be read again");
          this.#away = false;
        }
      } catch (error) {
        first ??= { error };
        this.#replan = true;
      }
    });
    await Promise.all(following);
    if (first !== undefined) throw first.error;
  }

  /** A part that is new here, or in a topic made anew, is followed from its end. */
  async #findEnds(consumer: Consumer, windows: readonly Window[], states: ReadonlyMap<string, TopicState>): Promise<void> {
    const unknown = windows.filter(({ topic, id }) => states.get(topic)?.id !== id);
    for (const [topic, parts] of Map.groupBy(unknown, (window) => window.topic)) {
      const state = states.get(topic)!;
      const partitions = parts.map(({ part }) => part).filter((part) => part < state.leaders.length);
      const ends = (await consumer.listOffsets({ topics: [topic], partitions: { [topic]: partitions }, timestamp: latest })).get(topic);
      for (const window of parts) {
        const end = Number(ends?.[window.part] ?? 0n);
        Object.assign(window, { id: state.id, from: end, to: end, bytes: 0, records: [] });
      }
    }
  }

  async #fetchOnce(consumer: Consumer, node: number, windows: readonly Window[]): Promise<void> {
    const topics = Array.from(
      Map.groupBy(windows, ({ id }) => id!),
      ([topicId, parts]) => ({ topicId, partitions: parts.map(({ part, to }) => fetchOf(part, to)) }),
    );
    let failed: Error | undefined;
    let response: FetchResponse;
    try {
      response = await consumer.fetch({ node, topics, minBytes: 1, maxBytes: fetchBytes, maxWaitTime: waitMs });
    } catch (error) {
      // Parts that are well come with those that are not.
      if (!(error instanceof ResponseError)) throw error;
      failed = error;
      response = error["response"] as FetchResponse;
    }
    for (const { topicId, partitions } of response.responses)
      for (const { partitionIndex, records, errorCode } of partitions) {
        const window = windows.find(({ id, part }) => id === topicId && part === partitionIndex);
        if (window === undefined) continue;
        // An offset that is not there, or another topic of that name: its end is asked for anew.
        if (errorCode !== 0) window.id = undefined;
        else if (records !== undefined) take(window, recordsFrom(records, window.to));
      }
    if (failed !== undefined) throw failed;
  }

  async #readBehind(window: Window, id: string, offset: number): Promise<Chunk> {
    const consumer = (this.#behind ??= this.#client.consumer());
    try {
      return await fetchBehind(consumer, this.#states.get(window.topic)?.leaders[window.part] ?? -1, window.part, id, offset);
    } catch (error) {
      if (hasProtocolError(error, "OFFSET_OUT_OF_RANGE")) {
        const first = await consumer.listOffsets({
          topics: [window.topic],
          partitions: { [window.topic]: [window.part] },
          timestamp: earliest,
        });
        const from = Number(first.get(window.topic)?.[window.part] ?? 0n);
        if (from !== offset) return { id, records: [], next: from, more: true };
      }
      if (this.#behind === consumer) this.#behind = undefined;
      await closeQuietly(consumer);
      throw error;
    }
  }

  async #disconnect(): Promise<void> {
    const open = [this.#tail, this.#behind];
    this.#tail = this.#behind = undefined;
    await Promise.all(open.map(closeQuietly));
  }
}

function fetchOf(part: number, offset: number) {
  return { partition: part, currentLeaderEpoch: -1, fetchOffset: BigInt(offset), lastFetchedEpoch: -1, partitionMaxBytes: partBytes };
}

async function fetchBehind(consumer: Consumer, node: number, part: number, id: string, offset: number): Promise<Chunk> {
  const { responses } = await consumer.fetch({
    node,
    topics: [{ topicId: id, partitions: [fetchOf(part, offset)] }],
    minBytes: 0,
    maxBytes: partBytes,
    maxWaitTime: 0,
  });
  const records = recordsFrom(responses[0]?.partitions[0]?.records ?? [], offset);
  return { id, records: records.arrived, next: records.next, more: records.next > offset };
}
