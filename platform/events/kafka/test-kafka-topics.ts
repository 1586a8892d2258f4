import { randomBytes } from "node:crypto";
import { Admin, Consumer } from "@platformatic/kafka";
import { engineAddress } from "../../testing/engines.ts";
import type { EngineVariable } from "../../testing/engines.ts";
import { afterTests } from "../../testing/postgres.ts";
import type { KafkaOptions } from "./kafka-options.ts";

/** Options with a prefix of the test's own; its topics and groups are deleted after the test. Throws, naming the variable, without a Kafka. */
export function testKafka(
  variable: EngineVariable = "ENGINE_KAFKA",
  options: Partial<KafkaOptions> = {},
): KafkaOptions & { readonly prefix: string } {
  const brokers = engineAddress(variable).split(",");
  const prefix = `test-${randomBytes(6).toString("hex")}`;
  afterTests(async () => {
    const admin = new Admin({ clientId: "test", bootstrapBrokers: brokers, retries: 3, retryDelay: 300 });
    try {
      const topics = (await admin.listTopics()).filter((name) => name.startsWith(`${prefix}.`));
      if (topics.length > 0) await admin.deleteTopics({ topics });
      const groups = [...(await admin.listGroups()).keys()].filter((name) => name.startsWith(`${prefix}.`));
      if (groups.length > 0) await admin.deleteGroups({ groups });
    } finally {
      await admin.close();
    }
  });
  return { brokers, prefix, ...options };
}

/** A record as any consumer of the cluster reads it. */
export interface PlainRecord {
  readonly partition: number;
  readonly key: string;
  readonly value: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

/** All records on a topic now, by partition and offset, read by a plain Kafka consumer. Empty when the topic does not exist. */
export async function readTopic({ brokers, prefix }: KafkaOptions, topic: string): Promise<PlainRecord[]> {
  const consumer = new Consumer({
    clientId: "plain",
    groupId: `${prefix}.plain-${randomBytes(4).toString("hex")}`,
    bootstrapBrokers: [...brokers],
  });
  try {
    // The topic may not exist yet.
    const ends = await consumer.listOffsets({ topics: [topic] }).catch(() => undefined);
    const expected = ends?.get(topic)?.reduce((sum, end) => sum + Number(end), 0) ?? 0;
    if (expected === 0) return [];
    const stream = await consumer.consume({ topics: [topic], mode: "earliest", autocommit: false, maxWaitTime: 50 });
    const found: { readonly offset: bigint; readonly record: PlainRecord }[] = [];
    for await (const { partition, offset, key, value, headers } of stream) {
      const texts = Object.fromEntries(Array.from(headers, ([name, text]) => [name.toString(), text.toString()]));
      found.push({ offset, record: { partition, key: key?.toString() ?? "", value, headers: texts } });
      if (found.length === expected) break;
    }
    return found.toSorted((a, b) => a.record.partition - b.record.partition || Number(a.offset - b.offset)).map(({ record }) => record);
  } finally {
    const closing: unknown = consumer.close(true);
    await closing;
  }
}
