import type { MessageToProduce, Producer } from "@platformatic/kafka";
import type { Logger } from "../../telemetry/logger.ts";
import { offsetsText, parseOffsets } from "../checkpoint.ts";
import type { Checkpoint } from "../checkpoint.ts";
import { beginning, comparePositions, positionOf } from "../position.ts";
import type { Position } from "../position.ts";
import type { SourceEvent } from "../transport/event-source.ts";
import { recordOf, recordSize } from "./event-record.ts";
import { closeQuietly } from "./kafka-client.ts";
import type { KafkaClient } from "./kafka-client.ts";

export interface PublicationNeeds {
  /** The publisher. */
  readonly service: string;
  readonly client: KafkaClient;
  readonly log: Logger;
  /** Called with the number of records after each acknowledged request. */
  readonly onPublished: (records: number) => void;
}

interface Topic {
  readonly name: string;
  readonly id: string;
  /** The end of each partition, as this publication has written it. */
  readonly endOffsets: number[];
}

/**
 * Publishes a log to its topic with one producer, in the log's order. After an error it must be closed, because it is unknown what the producer has
 * written: the next publication begins at the stored checkpoint.
 */
export class Publication {
  readonly #needs: PublicationNeeds;
  readonly #topic: Topic;
  readonly #producer: Producer;
  #position: Position;

  private constructor(needs: PublicationNeeds, topic: Topic, position: Position) {
    this.#needs = needs;
    this.#topic = topic;
    this.#producer = needs.client.producer();
    this.#position = position;
  }

  /** Begins at the checkpoint, or at the beginning of the log when the topic is not the one that the checkpoint was stored for. */
  static async begin(needs: PublicationNeeds, from: Checkpoint): Promise<Publication> {
    const { client, service, log } = needs;
    const name = client.topicOf(service);
    const stored = parseOffsets(from.offsets);
    const { id, leaders } = await client.topic(name, stored?.offsets.length);
    const partitions = stored?.offsets.length ?? leaders.length;
    if (leaders.length < partitions)
      throw new Error(
        `the topic ${name} has ${leaders.length} partitions and its subscribers expect ${partitions}: delete it, then it is created and filled again`,
      );
    if (stored?.topic === id) return new Publication(needs, { name, id, endOffsets: [...stored.offsets] }, positionOf(from));
    if (stored !== undefined) log.warn({ service, topic: name }, "the topic is not the same as before, the whole log is published to it");
    return new Publication(needs, { name, id, endOffsets: Array.from({ length: partitions }, () => 0) }, beginning);
  }

  /** Everything at or before it has been published. */
  get position(): Position {
    return this.#position;
  }

  get checkpoint(): Checkpoint {
    return { ...this.#position, offsets: offsetsText(this.#topic.id, this.#topic.endOffsets) };
  }

  isAheadOf(stored: Checkpoint): boolean {
    const { offsets } = this.checkpoint;
    return comparePositions(this.#position, stored) !== 0 || offsets !== stored.offsets;
  }

  /** Publishes events in requests of at most `requestBytesMax`. Data longer than half of that stays in the log. */
  async publish(events: readonly SourceEvent[], requestBytesMax: number): Promise<void> {
    const { name, endOffsets } = this.#topic;
    const options = { service: this.#needs.service, topic: name, partitions: endOffsets.length, dataMax: requestBytesMax / 2 };
    let messages: MessageToProduce[] = [];
    let size = 0;
    for (const [nth, event] of events.entries()) {
      const message = recordOf(event, options);
      const more = recordSize(message);
      if (messages.length > 0 && size + more > requestBytesMax) {
        await this.#send(messages, events[nth - 1]!.position);
        messages = [];
        size = 0;
      }
      messages.push(message);
      size += more;
    }
    if (messages.length > 0) await this.#send(messages, events.at(-1)!.position);
  }

  /** Moves past positions of the log at which there is nothing to publish. */
  advance(to: Position): void {
    this.#position = to;
  }

  async close(): Promise<void> {
    await closeQuietly(this.#producer);
  }

  /** One request at a time: if a later one succeeded before an earlier one, its partition would have a gap that subscribers skip. */
  async #send(messages: MessageToProduce[], to: Position): Promise<void> {
    const { name, id, endOffsets } = this.#topic;
    const counts = new Map<number, number>();
    for (const { partition = 0 } of messages) counts.set(partition, (counts.get(partition) ?? 0) + 1);
    const { offsets = [] } = await this.#producer.send({ messages });
    if (this.#producer.currentMetadata?.topics.get(name)?.id !== id) throw new Error(`the topic ${name} was created again`);
    for (const { partition, offset } of offsets)
      endOffsets[partition] = Math.max(endOffsets[partition] ?? 0, Number(offset) + counts.get(partition)!);
    this.#needs.onPublished(messages.length);
    this.#position = to;
  }
}
