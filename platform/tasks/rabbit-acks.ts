import type { Channel } from "rabbitmq-client";

/**
 * Acknowledges the messages of one channel. Those that end in one turn of the event loop are acknowledged together, in one frame up to the
 * oldest that still runs, because each frame is a write to the socket. A closed channel has requeued its messages already.
 */
export class RabbitAcks {
  readonly #channel: Channel;
  /** In the order of their arrival. */
  readonly #open = new Set<number>();
  readonly #done = new Set<number>();
  #scheduled = false;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  arrived(tag: number): void {
    this.#open.add(tag);
  }

  done(tag: number): void {
    this.#done.add(tag);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.flush());
  }

  /** Puts a message back into its queue. */
  requeue(tag: number): void {
    this.#open.delete(tag);
    if (this.#channel.active) this.#channel.basicNack({ deliveryTag: tag, requeue: true });
  }

  flush(): void {
    this.#scheduled = false;
    if (!this.#channel.active) return;
    let last: number | undefined;
    for (const tag of this.#open) {
      if (!this.#done.delete(tag)) break;
      this.#open.delete(tag);
      last = tag;
    }
    if (last !== undefined) this.#channel.basicAck({ deliveryTag: last, multiple: true });
    for (const tag of this.#done) {
      this.#open.delete(tag);
      this.#channel.basicAck({ deliveryTag: tag });
    }
    this.#done.clear();
  }
}
