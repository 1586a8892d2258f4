import type { Channel, Envelope, MessageBody } from "rabbitmq-client";
import type { Claim } from "./task-store.ts";

/** How often a message may be requeued before it becomes a dead letter, because the processes that received it ended. */
const deliveryLimit = 20;

/**
 * The queues of a service at RabbitMQ: `<prefix>.<service>.<queue>` for each of its own, and one for dead letters. They are
 * quorum queues: on disk, and on three nodes where there are as many.
 */
export class RabbitQueues {
  readonly deadLetters: string;
  readonly #names: ReadonlyMap<string, string>;
  #declared: Promise<void> | undefined;

  constructor(prefix: string, service: string, queues: Iterable<string>) {
    this.deadLetters = `${prefix}.${service}.dead-letters`;
    this.#names = new Map([...queues].map((queue) => [queue, `${prefix}.${service}.${queue}`]));
  }

  get all(): string[] {
    return [this.deadLetters, ...this.#names.values()];
  }

  nameOf(queue: string): string {
    const name = this.#names.get(queue);
    if (name === undefined) throw new Error(`${queue} is not a queue of this service`);
    return name;
  }

  /**
   * Declares all of them once for all channels, and again after one of those channels was lost. A consumer that subscribes while another
   * channel still declares its queue closes the whole connection (RabbitMQ 3.10).
   */
  async ensure(channel: Channel): Promise<void> {
    const forget = () => (this.#declared = undefined);
    channel.once("close", forget);
    channel.once("basic.cancel", forget);
    await (this.#declared ??= this.#declare(channel));
  }

  /** How many messages wait in a queue. */
  async waitingIn(channel: Channel, queue: string): Promise<number> {
    return (await channel.queueDeclare({ queue: this.nameOf(queue), passive: true })).messageCount;
  }

  async #declare(channel: Channel): Promise<void> {
    const { deadLetters } = this;
    await channel.exchangeDeclare({ exchange: deadLetters, type: "fanout", durable: true });
    await channel.queueDeclare({ queue: deadLetters, durable: true, arguments: { "x-queue-type": "quorum" } });
    await channel.queueBind({ queue: deadLetters, exchange: deadLetters });
    const limits = { "x-queue-type": "quorum", "x-delivery-limit": deliveryLimit, "x-dead-letter-exchange": deadLetters } as const;
    for (const queue of this.#names.values()) await channel.queueDeclare({ queue, durable: true, arguments: limits });
  }
}

/**
 * The message of a task: only its id and the fence under which it was sent. The receiver begins the task with one statement, which reads the
 * current row; so nothing in a message can be stale.
 */
export function envelopeOf(queue: string, task: Claim): Envelope {
  return { routingKey: queue, messageId: task.id, durable: true, mandatory: true };
}

export function bodyOf({ id, fence }: Claim): Claim {
  return { id, fence };
}

/** The claim in a message; undefined when it belongs to no task. */
export function claimOf(body: MessageBody): Claim | undefined {
  if (typeof body !== "object" || body === null || !("id" in body && "fence" in body)) return undefined;
  const { id, fence } = body;
  return typeof id === "string" && typeof fence === "number" && Number.isInteger(fence) ? { id, fence } : undefined;
}
