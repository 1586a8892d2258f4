import { Admin, Consumer, GenericError, MultipleErrors, Producer } from "@platformatic/kafka";
import type { MessageToProduce } from "@platformatic/kafka";
import { isIP } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { serverTls } from "../../config/server-tls.ts";
import type { KafkaOptions } from "./kafka-options.ts";

const connectTimeoutMs = 3_000;
const requestTimeoutMs = 8_000;
const leaderTries = 40;
const leaderPauseMs = 100;

/** A topic as the cluster has it now. */
export interface TopicState {
  /** Changes when the topic is deleted and created again. */
  readonly id: string;
  /** The leader of each partition: the broker that it is read from and written to. */
  readonly leaders: readonly number[];
}

/** Connects to one Kafka cluster, and creates topics there. */
export class KafkaClient {
  readonly #options: KafkaOptions;
  #admin: Admin | undefined;
  /** For records without a checkpoint. */
  #sender: Producer | undefined;
  readonly #stopping = new AbortController();

  constructor(options: KafkaOptions) {
    this.#options = options;
  }

  /** The topic of a service's events. */
  topicOf(service: string): string {
    return `${this.#options.prefix ?? "kontor"}.${service}`;
  }

  /** The topic of a subscribing service's dead letters. */
  parkedTopicOf(service: string): string {
    return `${this.topicOf(service)}.parked`;
  }

  /** The consumer group under which Kafka's own tools show a subscription's progress. */
  groupOf(subscription: string): string {
    return this.topicOf(subscription);
  }

  /** A new producer that writes each record once and waits for all in-sync replicas. After an error it must be closed. */
  producer(): Producer {
    // The client takes fewer than two retries for no limit.
    return new Producer({ ...this.#base(), idempotent: true, acks: -1, retries: 2, retryDelay: 100 });
  }

  /** A new consumer that fetches from explicit offsets and joins no group. */
  consumer(): Consumer {
    return new Consumer({ ...this.#base(), groupId: "kontor", autocommit: false, retries: 0 });
  }

  /** Describes a topic, created with unlimited retention when it is missing. Throws when the cluster is unreachable. */
  async topic(name: string, partitions = this.#options.partitions ?? 6): Promise<TopicState> {
    return this.#withAdmin(async (admin) => {
      let state = await describe(admin, name);
      if (state === undefined) await this.#create(admin, name, partitions);
      // It takes a moment until every partition of a new topic has a leader.
      for (let tries = 0; state === undefined || state.leaders.includes(-1); tries++) {
        if (tries === leaderTries) throw new Error(`the topic ${name} has no leader`);
        if (tries > 0) await sleep(leaderPauseMs, undefined, { signal: this.#stopping.signal });
        state = await describe(admin, name);
      }
      return state;
    });
  }

  /** Commits offsets of a subscription for Kafka's own tools; the subscription itself never reads them. */
  async commitOffsets(subscription: string, topic: string, offsets: ReadonlyMap<number, number>): Promise<void> {
    const partitionOffsets = Array.from(offsets, ([partition, offset]) => ({ partition, offset: BigInt(offset) }));
    const groupId = this.groupOf(subscription);
    await this.#withAdmin((admin) => admin.alterConsumerGroupOffsets({ groupId, topics: [{ name: topic, partitionOffsets }] }));
  }

  /** Publishes records without a checkpoint, such as dead letters; at least once. */
  async send(messages: MessageToProduce[]): Promise<void> {
    this.#stopping.signal.throwIfAborted();
    const sender = (this.#sender ??= this.producer());
    try {
      await sender.send({ messages });
    } catch (error) {
      if (this.#sender === sender) this.#sender = undefined;
      await closeQuietly(sender);
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the connection to Kafka has been closed"));
    const open = [this.#admin, this.#sender];
    this.#admin = this.#sender = undefined;
    await Promise.all(open.map(closeQuietly));
  }

  async #withAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
    this.#stopping.signal.throwIfAborted();
    const admin = (this.#admin ??= new Admin({ ...this.#base(), retries: 0 }));
    try {
      return await work(admin);
    } catch (error) {
      if (this.#admin === admin) this.#admin = undefined;
      await closeQuietly(admin);
      throw error;
    }
  }

  async #create(admin: Admin, name: string, partitions: number): Promise<void> {
    const replicas = this.#options.replicas ?? 1;
    try {
      await admin.createTopics({
        topics: [name],
        partitions,
        replicas,
        configs: [
          { name: "retention.ms", value: "-1" },
          { name: "retention.bytes", value: "-1" },
          { name: "cleanup.policy", value: "delete" },
          // Business time is in a header: a broker refuses records whose timestamp is far from its own clock.
          { name: "message.timestamp.type", value: "LogAppendTime" },
          ...(replicas >= 3 ? [{ name: "min.insync.replicas", value: "2" }] : []),
        ],
      });
    } catch (error) {
      if (!hasProtocolError(error, "TOPIC_ALREADY_EXISTS")) throw error;
    }
  }

  #base() {
    const { brokers, credentials, tls, ca } = this.#options;
    return {
      clientId: "kontor",
      bootstrapBrokers: [...brokers],
      connectTimeout: connectTimeoutMs,
      requestTimeout: requestTimeoutMs,
      autocreateTopics: false,
      ...(credentials !== undefined && { sasl: credentials }),
      // The server name (SNI), for proxies that serve several clusters; it must not be an IP address.
      ...(tls === true && { tls: serverTls(ca), tlsServerName: !brokers.every(isAddress) }),
    };
  }
}

async function describe(admin: Admin, name: string): Promise<TopicState | undefined> {
  try {
    const { topics } = await admin.metadata({ topics: [name], forceUpdate: true });
    const topic = topics.get(name);
    return topic && { id: topic.id, leaders: topic.partitions.map(({ leader }) => leader) };
  } catch (error) {
    if (error instanceof Error && error.message === `Unknown topic ${name}.`) return undefined;
    if (hasProtocolError(error, "LEADER_NOT_AVAILABLE")) return undefined;
    throw error;
  }
}

/** Whether "host:port" names an IP address. */
function isAddress(broker: string): boolean {
  return isIP(broker.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1")) !== 0;
}

/** Whether a broker has responded with this error, anywhere among the causes. */
export function hasProtocolError(error: unknown, id: string): boolean {
  if (error instanceof GenericError) return error.findBy("apiId", id) !== null;
  return error instanceof MultipleErrors && error.findBy("apiId", id) !== null;
}

/** Closes a client that may be broken already. */
export async function closeQuietly(client: { close(): Promise<void> } | undefined): Promise<void> {
  await client?.close().catch(() => undefined); // its connections are closed already, or end with the process
}
