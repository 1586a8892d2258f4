import type { Logger } from "../../telemetry/logger.ts";
import type { KafkaClient } from "./kafka-client.ts";
import { Waker } from "../waker.ts";

const everyMs = 5_000;

/**
 * Writes how far each subscription has come to where Kafka's own tools look for it: a consumer group of its name. Nothing here reads that, so it may
 * be late, and a failure is only worth a line.
 */
export class OffsetNotes {
  readonly #client: KafkaClient;
  readonly #log: Logger;
  readonly #waker = new Waker();
  readonly #noted = new Map<string, number>();
  /** By subscription and topic, what is new since it was last written. */
  readonly #fresh = new Map<string, Map<number, number>>();
  #failing = false;
  #running: Promise<void> | undefined;

  constructor(client: KafkaClient, log: Logger) {
    this.#client = client;
    this.#log = log;
  }

  note(subscription: string, topic: string, part: number, offset: number): void {
    const key = `${subscription} ${topic}`;
    const noted = this.#noted.get(`${key} ${part}`);
    if (noted === offset) return;
    this.#noted.set(`${key} ${part}`, offset);
    let fresh = this.#fresh.get(key);
    if (fresh === undefined) this.#fresh.set(key, (fresh = new Map()));
    fresh.set(part, offset);
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#waker.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#waker.closed) {
      await this.#waker.pause(everyMs);
      if (!this.#waker.closed) await this.#write();
    }
  }

  async #write(): Promise<void> {
    const fresh = [...this.#fresh];
    this.#fresh.clear();
    try {
      for (const [key, offsets] of fresh) {
        const [subscription = "", topic = ""] = key.split(" ");
        await this.#client.noteOffsets(subscription, topic, offsets);
      }
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.#log.info({ error }, "offsets could not be noted for Kafka's tools; nothing depends on them");
      this.#failing = true;
    }
  }
}
