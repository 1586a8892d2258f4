import type { Channel } from "rabbitmq-client";

/**
 * Acknowledges the messages of one channel. What ends in one turn goes together: in one frame all that lie before the oldest that still runs,
 * because each frame is a write to the socket. On a channel that is gone nothing is said: its messages have gone back already.
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

  /** Gives a message back to its queue. */
  giveBack(tag: number): void {
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
