import { openTestInstallation } from "../open-test-installation.ts";
import type { TestInstallation } from "../open-test-installation.ts";
import { createKafkaEvents } from "./kafka-events.ts";
import type { KafkaOptions } from "./kafka-options.ts";
import { testKafka } from "./test-kafka-topics.ts";

export interface TestKafka {
  readonly kafka: KafkaOptions & { readonly prefix: string };
  readonly installation: TestInstallation;
  /** The topic of the publisher "things". */
  readonly topic: string;
  /** The topic of the dead letters of "watchers". */
  readonly parkedTopic: string;
}

/** An installation whose events are on a real Kafka, with topics of its own. */
export async function openTestKafka(partitions?: number): Promise<TestKafka> {
  const kafka = testKafka("ENGINE_KAFKA", partitions === undefined ? {} : { partitions });
  const installation = await openTestInstallation({ broker: (log) => createKafkaEvents({ ...kafka, log }) });
  return { kafka, installation, topic: `${kafka.prefix}.things`, parkedTopic: `${kafka.prefix}.watchers.parked` };
}
