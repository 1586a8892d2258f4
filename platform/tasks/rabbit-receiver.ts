import { performance } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { AsyncMessage, Channel, Connection } from "rabbitmq-client";
import type { Database } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import type { Logger } from "../telemetry/logger.ts";
import { concurrencyOf } from "./dispatch.ts";
import { RabbitAcks } from "./rabbit-acks.ts";
import { ReopeningChannel } from "./rabbit-channel.ts";
import { claimOf } from "./rabbit-queues.ts";
import type { RabbitQueues } from "./rabbit-queues.ts";
import type { TaskRuns } from "./task-runs.ts";
import { beginTasks } from "./task-store.ts";
import type { Claim, ClaimedTask } from "./task-store.ts";
import type { Queue } from "./tasks.ts";

interface Needs {
  readonly connection: Connection;
  readonly database: Database;
  readonly log: Logger;
  readonly queues: RabbitQueues;
  readonly queue: Queue;
  readonly runs: TaskRuns;
  readonly leaseMs: number;
}

/** A message of a task in this process's hands, until it is acknowledged on the channel that brought it. */
interface Delivery {
  readonly message: Claim;
  readonly tag: number;
  readonly acks: RabbitAcks;
}

/**
 * Begins the tasks of one queue whose messages arrive here, and acknowledges a message when the try has ended. A message whose task has been
 * begun, moved, skipped or sent again is acknowledged without effect, so a redelivery while the task runs elsewhere runs nothing: when the
 * lease ends, the task is sent again. While its database is unavailable it receives no messages.
 */
export class RabbitReceiver {
  readonly #needs: Needs;
  readonly #concurrency: number;
  readonly #channel: ReopeningChannel;
  #arrived: Delivery[] = [];
  #acks: RabbitAcks | undefined;
  #beginning = false;
  #retired = false;

  constructor(needs: Needs) {
    this.#needs = needs;
    this.#concurrency = concurrencyOf(needs.queue);
    const setUp = async (channel: Channel) => this.#setUp(channel);
    this.#channel = new ReopeningChannel({ ...needs, purpose: `receive ${needs.queue.name}`, setUp });
  }

  /** Resolves when it receives for the first time. */
  start(): Promise<void> {
    return this.#channel.start();
  }

  /** Begins nothing from now on; messages whose task has not begun are requeued, for other processes. */
  retire(): void {
    this.#retired = true;
    for (const { acks, tag } of this.#arrived.splice(0)) acks.requeue(tag);
  }

  /** When nothing runs any more. */
  stop(): Promise<void> {
    this.#acks?.flush();
    return this.#channel.stop();
  }

  async #setUp(channel: Channel): Promise<void> {
    const { database, queue, queues } = this.#needs;
    await database.one(sql`select 1 as one`);
    await queues.ensure(channel);
    await channel.basicQos({ prefetchCount: this.#concurrency });
    const acks = (this.#acks = new RabbitAcks(channel));
    await channel.basicConsume({ queue: queues.nameOf(queue.name) }, (message) => this.#receive(message, channel, acks));
  }

  #receive({ body, deliveryTag: tag }: AsyncMessage, channel: Channel, acks: RabbitAcks): void {
    const message = claimOf(body);
    if (message === undefined) return channel.basicNack({ deliveryTag: tag, requeue: false }); // which makes it a dead letter
    if (this.#retired) return acks.requeue(tag);
    acks.arrived(tag);
    this.#arrived.push({ message, tag, acks });
    void this.#begin();
  }

  /** Begins what has arrived: while one statement is under way, more arrives for the next one. */
  async #begin(): Promise<void> {
    if (this.#beginning) return;
    this.#beginning = true;
    await nextTurn(); // messages of this turn are begun together
    try {
      for (let room = this.#room(); room > 0 && this.#arrived.length > 0; room = this.#room())
        await this.#beginSome(this.#arrived.splice(0, room));
    } finally {
      this.#beginning = false;
    }
  }

  /** Tasks of a lost channel run on, and take up slots. */
  #room(): number {
    return this.#concurrency - this.#needs.runs.countOf(this.#needs.queue);
  }

  async #beginSome(deliveries: readonly Delivery[]): Promise<void> {
    const { database, log, queue, leaseMs } = this.#needs;
    const leaseEndsMs = performance.now() + leaseMs;
    let begun: ReadonlyMap<string, ClaimedTask>;
    try {
      const tasks = await beginTasks(database, deliveries.map(messageOf), leaseMs);
      begun = new Map(tasks.map((task) => [task.id, task]));
    } catch (error) {
      log.warn(
        { error, queue: queue.name, tasks: deliveries.length },
        "tasks could not be begun: their messages are requeued until the database is available",
      );
      this.#arrived = [];
      return this.#channel.reopen();
    }
    for (const delivery of deliveries) {
      const task = begun.get(delivery.message.id);
      if (task?.fence === delivery.message.fence + 1) void this.#run(delivery, task, leaseEndsMs);
      else delivery.acks.done(delivery.tag);
    }
  }

  async #run(delivery: Delivery, task: ClaimedTask, leaseEndsMs: number): Promise<void> {
    await this.#needs.runs.run(this.#needs.queue, task, leaseEndsMs);
    delivery.acks.done(delivery.tag);
    if (this.#arrived.length > 0) void this.#begin();
  }
}

const messageOf = ({ message }: Delivery): Claim => message;
