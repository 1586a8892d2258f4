import type { Logger } from "../../telemetry/logger.ts";
import type { KafkaClient } from "./kafka-client.ts";
import { Waker } from "../../changes/waker.ts";

const intervalMs = 5_000;

/**
 * Commits the offsets of each subscription to a consumer group of its name, for Kafka's own tools. Kontor never reads them, so they may be late, and
 * a failure is only logged.
 */
export class OffsetReporter {
  readonly #client: KafkaClient;
  readonly #log: Logger;
  readonly #waker = new Waker();
  readonly #reported = new Map<string, number>();
  /** By subscription and topic, the offsets by partition that are not committed yet. */
  readonly #pending = new Map<string, Map<number, number>>();
  #failing = false;
  #running: Promise<void> | undefined;

  constructor(client: KafkaClient, log: Logger) {
    this.#client = client;
    this.#log = log;
  }

  report(subscription: string, topic: string, partition: number, offset: number): void {
    const key = `${subscription} ${topic}`;
    const reported = this.#reported.get(`${key} ${partition}`);
    if (reported === offset) return;
    this.#reported.set(`${key} ${partition}`, offset);
    let pending = this.#pending.get(key);
    if (pending === undefined) this.#pending.set(key, (pending = new Map()));
    pending.set(partition, offset);
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#waker.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#waker.closed) {
      await this.#waker.pause(intervalMs);
      if (!this.#waker.closed) await this.#commit();
    }
  }

  async #commit(): Promise<void> {
    const pending = [...this.#pending];
    this.#pending.clear();
    try {
      for (const [key, offsets] of pending) {
        const [subscription = "", topic = ""] = key.split(" ");
        await this.#client.commitOffsets(subscription, topic, offsets);
      }
      this.#failing = false;
    } catch (error) {
      if (!this.#failing && !this.#waker.closed)
        this.#log.info({ error }, "offsets could not be committed for Kafka's tools; nothing depends on them");
      this.#failing = true;
    }
  }
}
