import { setTimeout as pause } from "node:timers/promises";
import { Admin, Consumer, Producer } from "@platformatic/kafka";
import type { Message } from "@platformatic/kafka";
import { engineAddress } from "./engines.ts";
import { afterTests } from "./postgres.ts";

/** Somebody else with access to a shop's topics, who makes trouble on them. */
export interface BrokerNoise {
  /** The names of the topics on which services publish. */
  topics(): Promise<string[]>;
  /** Puts records there that are no events, so many on each topic. Gives how many in all. */
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

/** Records that are no events of a service's, each in another way. */
const litterKinds: readonly Readonly<Record<string, string>>[] = [
  {},
  { ce_specversion: "1.0", ce_position: "nowhere", ce_type: "odd", ce_id: "evt_x", ce_version: "1" },
  { ce_specversion: "9.0", ce_position: "1/1/1", ce_type: "odd", ce_id: "evt_x", ce_version: "1" },
  { ce_specversion: "1.0", ce_position: "1/1/1", ce_type: "odd", ce_id: "evt_x", ce_version: "zero" },
  { ce_specversion: "1.0", ce_position: "1/1/1" },
];

/** Makes trouble in a namespace until the end of the suite that asked. Throws, naming the variable, without a Kafka. */
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
      const names = await topics();
      const messages = names.flatMap((topic) =>
        Array.from({ length: each }, (_, nth) => ({
          topic,
          key: Buffer.from(`litter ${nth}`),
          value: Buffer.from("\u0000litter"),
          headers: new Map(
            Object.entries(litterKinds[nth % litterKinds.length]!).map(([name, text]) => [Buffer.from(name), Buffer.from(text)]),
          ),
        })),
      );
      await producer.send({ messages });
      return messages.length;
    },
    async repeat({ timesMax, window }) {
      const consumer = new Consumer({ ...client, groupId: `${namespace}.noise` });
      const stream = await consumer.consume({ topics: await topics(), mode: "earliest", autocommit: false, maxWaitTime: 50 });
      const known = new Set<string>();
      const gathered: Message[] = [];
      let repetitions = 0;
      let going = true;
      const take = async () => {
        for await (const message of stream as AsyncIterable<Message>) {
          const id = [...message.headers].find(([name]) => name.toString() === "ce_id")?.[1].toString();
          // What we have sent ourselves comes by as well.
          if (id === undefined || known.has(id)) continue;
          known.add(id);
          gathered.push(message);
        }
      };
      const give = async () => {
        for (let waitedMs = 0; going || gathered.length > 0; await pause(25)) {
          waitedMs += 25;
          if (going && gathered.length < window && waitedMs < windowMs) continue;
          const batch = gathered.splice(0, window);
          waitedMs = 0;
          const messages = shuffled(
            batch.flatMap((message) => Array.from({ length: Math.floor(Math.random() * (timesMax + 1)) }, () => message)),
          );
          if (messages.length === 0) continue;
          await producer.send({
            messages: messages.map(({ topic, partition, key, value, headers }) => ({ topic, partition, key, value, headers })),
          });
          repetitions += messages.length;
        }
      };
      const taking = take();
      const giving = give();
      let stopping: Promise<void> | undefined;
      const stop = async () => {
        going = false;
        await giving;
        const closing: unknown = consumer.close(true);
        await closing;
        await taking;
      };
      ending.push(() => (stopping ??= stop()));
      return {
        get events() {
          return known.size;
        },
        get repetitions() {
          return repetitions;
        },
        stop: () => (stopping ??= stop()),
      };
    },
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
