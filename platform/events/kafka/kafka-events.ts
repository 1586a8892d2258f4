import type { MessageToProduce } from "@platformatic/kafka";
import { setTimeout as sleep } from "node:timers/promises";
import { eventTypeOf } from "../../contract/contract.ts";
import type { Database } from "../../database/database.ts";
import type { Clients } from "../../rpc/rpc.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { readOne, readReach } from "../transport/event-source.ts";
import type { EventTransport } from "../transport/event-transport.ts";
import { KafkaClient } from "./kafka-client.ts";
import { buriedRecord, deadLetterRecord } from "./dead-letter-record.ts";
import { KafkaFeed } from "./kafka-feed.ts";
import type { KafkaOptions } from "./kafka-options.ts";
import { KafkaRelay } from "./kafka-relay.ts";
import type { RelayOptions } from "./kafka-relay.ts";
import { kafkaSource } from "./kafka-source.ts";
import { OffsetNotes } from "./offset-reporter.ts";
import { comparePlaces } from "../position.ts";
import type { Wakeups } from "../wakeups.ts";

const askAgainMsMin = 5;
const askAgainMsMax = 100;

/** The events of a process's services on Kafka. */
export interface KafkaEvents {
  /** Publishes the log of a service whose database this process has. Of all processes one does it at a time. */
  relay(needs: RelayNeeds): { start(): Promise<void>; stop(): Promise<void> };
  /** The way on which events come to the subscriptions of a service: give it to `createSubscriptions`. */
  transport(needs: { readonly service: string; readonly clients: Clients; readonly log: Logger }): EventTransport;
  /** After the subscriptions and relays. */
  stop(): Promise<void>;
}

export interface RelayNeeds {
  readonly service: string;
  readonly database: Database;
  readonly wakeups: Wakeups;
  readonly log: Logger;
  readonly options?: Partial<RelayOptions>;
}

/** Connects to nothing yet, and never waits for Kafka: while that is away the services go on and their logs grow. */
export function createKafkaEvents(options: KafkaOptions & { readonly log: Logger }): KafkaEvents {
  const client = new KafkaClient(options);
  const feed = new KafkaFeed(client, options.log);
  const notes = new OffsetNotes(client, options.log);

  return {
    relay: (needs) => new KafkaRelay({ ...needs, client }),
    transport: ({ service, clients, log }) => transportOn({ client, feed, notes, service, clients, log }),
    async stop() {
      await Promise.all([feed.stop(), notes.stop()]);
      await client.stop();
    },
  };
}

interface Needs {
  readonly client: KafkaClient;
  readonly feed: KafkaFeed;
  readonly notes: OffsetNotes;
  readonly service: string;
  readonly clients: Clients;
  readonly log: Logger;
}

function transportOn({ client, feed, notes, service, clients, log }: Needs): EventTransport {
  let parkedTopic: Promise<unknown> | undefined;

  async function sendParked(messages: MessageToProduce[]): Promise<void> {
    const topic = client.parkedTopicOf(service);
    parkedTopic ??= client.topic(topic, 1);
    try {
      await parkedTopic;
      await client.send(messages);
    } catch (error) {
      // It may have been deleted.
      parkedTopic = undefined;
      throw error;
    }
  }

  return {
    parts: async (publisher) => (await client.topic(client.topicOf(publisher))).leaders.length,
    source({ name, publisher, schemas }, part = 0) {
      const topic = client.topicOf(publisher);
      return kafkaSource({
        feed,
        topic,
        part,
        types: new Set(schemas.map(eventTypeOf)),
        readOne: (place) => readOne(clients, service, publisher, place),
        async bury(record, fault) {
          await sendParked([buriedRecord(record, { parkedTopic: client.parkedTopicOf(service), topic, part, subscription: name, fault })]);
          log.error({ subscription: name, topic, part, offset: record.offset, fault }, "a record on a topic is no event, it is put aside");
        },
        passed: (offset) => notes.note(name, topic, part, offset),
      });
    },
    listen({ publisher, schemas }, part = 0, heard) {
      const types = new Set(schemas.map(eventTypeOf));
      return feed.follow(client.topicOf(publisher), part, (arrived) => {
        if (arrived.length === 0 || arrived.some(({ event }) => event === undefined || types.has(event.type))) heard();
      });
    },
    async reach(publisher, patiently) {
      const first = await readReach(clients, service, publisher, true);
      let { relayed } = first;
      for (let ms = askAgainMsMin; patiently && comparePlaces(relayed ?? nowhere, first.head) < 0; ms = Math.min(ms * 2, askAgainMsMax)) {
        await sleep(ms);
        ({ relayed } = await readReach(clients, service, publisher, true));
      }
      return { head: first.head, relayed: relayed ?? nowhere };
    },
    announce: (letters) => sendParked(letters.map((letter) => deadLetterRecord(letter, client.parkedTopicOf(service)))),
  };
}

const nowhere = { epoch: 0, xid: "0", position: "0", mark: "" };
