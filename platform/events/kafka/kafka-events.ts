import type { MessageToProduce } from "@platformatic/kafka";
import { setTimeout as sleep } from "node:timers/promises";
import { eventTypeOf } from "../../contract/contract.ts";
import type { Database } from "../../database/database.ts";
import { backoffMs } from "../../retry/backoff.ts";
import type { Clients } from "../../rpc/rpc.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { beginning, comparePositions } from "../position.ts";
import type { EventTransport } from "../transport/event-transport.ts";
import { readEventAt, readLogProgress } from "../transport/rpc-source.ts";
import type { Wakeups } from "../wakeups.ts";
import { deadLetterRecord, rejectedRecord } from "./dead-letter-record.ts";
import { KafkaClient } from "./kafka-client.ts";
import { KafkaFeed } from "./kafka-feed.ts";
import type { KafkaOptions } from "./kafka-options.ts";
import { KafkaRelay } from "./kafka-relay.ts";
import type { RelayOptions } from "./kafka-relay.ts";
import { kafkaSource } from "./kafka-source.ts";
import { OffsetReporter } from "./offset-reporter.ts";
import { partitionOfStream } from "./partition-of-stream.ts";

const pollBackoff = { pauseMsMin: 5, pauseMsMax: 100 };

/** The events of a process's services on Kafka. */
export interface KafkaEvents {
  /** Publishes the log of a service that this process hosts. Of all processes one does so at a time. */
  relay(needs: RelayNeeds): { start(): Promise<void>; stop(): Promise<void> };
  /** How events reach the subscriptions of a service: for `createSubscriptions`. */
  transport(needs: { readonly service: string; readonly clients: Clients; readonly log: Logger }): EventTransport;
  /** Must run after the subscriptions and relays have stopped. */
  stop(): Promise<void>;
}

export interface RelayNeeds {
  readonly service: string;
  readonly database: Database;
  readonly wakeups: Wakeups;
  readonly log: Logger;
  readonly options?: Partial<RelayOptions>;
}

/** Does not connect yet, and nothing in it waits for Kafka: while that is unavailable the services go on and their logs grow. */
export function createKafkaEvents(options: KafkaOptions & { readonly log: Logger }): KafkaEvents {
  const client = new KafkaClient(options);
  const feed = new KafkaFeed(client, options.log);
  const offsetReporter = new OffsetReporter(client, options.log);

  return {
    relay: (needs) => new KafkaRelay({ ...needs, client }),
    transport: ({ service, clients, log }) => transportOn({ client, feed, offsetReporter, service, clients, log }),
    async stop() {
      // The client too: they wait for its requests, and a broker that hangs does not respond.
      await Promise.all([feed.stop(), offsetReporter.stop(), client.stop()]);
    },
  };
}

interface Needs {
  readonly client: KafkaClient;
  readonly feed: KafkaFeed;
  readonly offsetReporter: OffsetReporter;
  readonly service: string;
  readonly clients: Clients;
  readonly log: Logger;
}

function transportOn({ client, feed, offsetReporter, service, clients, log }: Needs): EventTransport {
  let parkedTopic: Promise<unknown> | undefined;

  async function sendParked(messages: MessageToProduce[]): Promise<void> {
    const topic = client.parkedTopicOf(service);
    parkedTopic ??= client.topic(topic, 1);
    try {
      await parkedTopic;
      await client.send(messages);
    } catch (error) {
      // The topic may have been deleted.
      parkedTopic = undefined;
      throw error;
    }
  }

  return {
    partitioning: {
      partitions: async (publisher) => (await client.topic(client.topicOf(publisher))).leaders.length,
      partitionOf: partitionOfStream,
    },
    source({ name, publisher, schemas }, partition = 0) {
      const topic = client.topicOf(publisher);
      return kafkaSource({
        feed,
        topic,
        partition,
        types: new Set(schemas.map(eventTypeOf)),
        readEventAt: (position) => readEventAt(clients, service, publisher, position),
        async reject(record, fault) {
          const origin = { parkedTopic: client.parkedTopicOf(service), topic, partition, subscription: name };
          await sendParked([rejectedRecord(record, { ...origin, fault })]);
          const fields = { subscription: name, topic, partition, offset: record.offset, fault };
          log.error(fields, "a record on a topic is not an event, it was moved to the dead letters");
        },
        onProgress: (offset) => offsetReporter.report(name, topic, partition, offset),
      });
    },
    listen({ publisher, schemas }, partition = 0, onNews) {
      const types = new Set(schemas.map(eventTypeOf));
      return feed.follow(client.topicOf(publisher), partition, (records) => {
        if (records.length === 0 || records.some(({ event }) => event === undefined || types.has(event.type))) onNews();
      });
    },
    async logProgress(publisher, untilRelayed) {
      const first = await readLogProgress(clients, service, publisher, true);
      let { relayed } = first;
      for (let reads = 1; untilRelayed !== undefined && comparePositions(relayed ?? beginning, first.head) < 0; reads++) {
        await sleep(backoffMs(pollBackoff, reads), undefined, { signal: untilRelayed });
        ({ relayed } = await readLogProgress(clients, service, publisher, true));
      }
      return { head: first.head, relayed: relayed ?? { ...beginning, offsets: "" } };
    },
    announce: (letters) => sendParked(letters.map((letter) => deadLetterRecord(letter, client.parkedTopicOf(service)))),
  };
}
