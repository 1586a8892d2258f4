import { setTimeout as pause } from "node:timers/promises";
import { Admin, Consumer, Producer } from "@platformatic/kafka";
import type { Message } from "@platformatic/kafka";
import { engineAddress } from "./engines.ts";
import { afterTests } from "./postgres.ts";

/** A foreign client with access to a shop's topics, which disturbs them. */
export interface BrokerNoise {
  /** The names of the topics on which services publish. */
  topics(): Promise<string[]>;
  /** Writes so many records that are no events to each topic. Returns how many in all. */
  litter(each: number): Promise<number>;
  /** Begins to deliver every event again, from the first one on. */
  repeat(options: RepeatOptions): Promise<Repeating>;
}

export interface RepeatOptions {
  /** How often more than once an event is delivered at most: by chance each time. */
  readonly timesMax: number;
  /** Of how many events the repetitions are shuffled. */
  readonly window: number;
}

export interface Repeating {
  /** How many events were seen so far, and how many times they were delivered again. */
  readonly events: number;
  readonly repetitions: number;
  stop(): Promise<void>;
}

/** How long a window waits to be filled. */
const windowMs = 500;

/** Headers of records that are no events of a service, each for another reason. */
const litterKinds: readonly Readonly<Record<string, string>>[] = [
  {},
  { ce_specversion: "1.0", ce_position: "nowhere", ce_type: "odd", ce_id: "evt_x", ce_version: "1" },
  { ce_specversion: "9.0", ce_position: "1/1/1", ce_type: "odd", ce_id: "evt_x", ce_version: "1" },
  { ce_specversion: "1.0", ce_position: "1/1/1", ce_type: "odd", ce_id: "evt_x", ce_version: "zero" },
  { ce_specversion: "1.0", ce_position: "1/1/1" },
];

/** Disturbs the topics of a namespace until the end of the suite that called it. Throws, naming the variable, without a Kafka. */
export function openBrokerNoise(namespace: string): BrokerNoise {
  const client = { clientId: "noise", bootstrapBrokers: engineAddress("ENGINE_KAFKA").split(",") };
  const admin = new Admin(client);
  const producer = new Producer({ ...client, acks: -1 });
  const ending: (() => Promise<void>)[] = [];
  afterTests(async () => {
    await Promise.all(ending.map((end) => end()));
    await Promise.all([admin.close(), producer.close()]);
  });
  const topics = async () => (await admin.listTopics()).filter((name) => name.startsWith(`${namespace}.`) && !name.endsWith(".parked"));
  return {
    topics,
    async litter(each) {
      const messages = (await topics()).flatMap((topic) => Array.from({ length: each }, (_, nth) => litterOn(topic, nth)));
      await producer.send({ messages });
      return messages.length;
    },
    async repeat(options) {
      const consumer = new Consumer({ ...client, groupId: `${namespace}.noise` });
      const stream = await consumer.consume({ topics: await topics(), mode: "earliest", autocommit: false, maxWaitTime: 50 });
      const repeating = repeatEvents(stream as AsyncIterable<Message>, producer, options, async () => {
        const closing: unknown = consumer.close(true);
        await closing;
      });
      ending.push(() => repeating.stop());
      return repeating;
    },
  };
}

function litterOn(topic: string, nth: number) {
  const headers = Object.entries(litterKinds[nth % litterKinds.length]!).map(
    ([name, text]) => [Buffer.from(name), Buffer.from(text)] as const,
  );
  return { topic, key: Buffer.from(`litter ${nth}`), value: Buffer.from("\u0000litter"), headers: new Map(headers) };
}

/** Sends the stream's events again, shuffled, until it is stopped; `close` must end the stream. */
function repeatEvents(
  stream: AsyncIterable<Message>,
  producer: Producer,
  { timesMax, window }: RepeatOptions,
  close: () => Promise<void>,
): Repeating {
  const known = new Set<string>();
  const gathered: Message[] = [];
  let repetitions = 0;
  let running = true;

  const read = async () => {
    for await (const message of stream) {
      const id = [...message.headers].find(([name]) => name.toString() === "ce_id")?.[1].toString();
      // The repetitions are in the stream too.
      if (id === undefined || known.has(id)) continue;
      known.add(id);
      gathered.push(message);
    }
  };
  const repeat = async () => {
    for (let waitedMs = 0; running || gathered.length > 0; await pause(25)) {
      waitedMs += 25;
      if (running && gathered.length < window && waitedMs < windowMs) continue;
      waitedMs = 0;
      const times = () => Math.floor(Math.random() * (timesMax + 1));
      const messages = shuffled(gathered.splice(0, window).flatMap((message) => Array.from({ length: times() }, () => message)));
      if (messages.length === 0) continue;
      await producer.send({
        messages: messages.map(({ topic, partition, key, value, headers }) => ({ topic, partition, key, value, headers })),
      });
      repetitions += messages.length;
    }
  };
  const [reading, sending] = [read(), repeat()];
  let stopping: Promise<void> | undefined;
  const stop = async () => {
    running = false;
    await sending;
    await close();
    await reading;
  };
  return {
    get events() {
      return known.size;
    },
    get repetitions() {
      return repetitions;
    },
    stop: () => (stopping ??= stop()),
  };
}

function shuffled<T>(items: readonly T[]): T[] {
  const result = [...items];
  for (let at = result.length - 1; at > 0; at--) {
    const other = Math.floor(Math.random() * (at + 1));
    [result[at], result[other]] = [result[other]!, result[at]!];
  }
  return result;
}
