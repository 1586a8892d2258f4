import type { Channel, Connection } from "rabbitmq-client";
import type { Database } from "../database/database.ts";
import type { Logger } from "../telemetry/logger.ts";
import { concurrencyOf } from "./dispatch.ts";
import type { Dispatch, Dispatched, Request } from "./dispatch.ts";
import { SteadyChannel } from "./rabbit-channel.ts";
import { bodyOf, claimOf, envelopeOf } from "./rabbit-queues.ts";
import type { RabbitQueues } from "./rabbit-queues.ts";
import { within } from "../retry/within.ts";
import { claimTasks, unsendTasks } from "./task-store.ts";
import type { Claim, ClaimedTask } from "./task-store.ts";
import type { Queue } from "./tasks.ts";

interface Needs {
  readonly connection: Connection;
  readonly database: Database;
  readonly log: Logger;
  readonly queues: RabbitQueues;
  readonly served: readonly Queue[];
  readonly sentLeaseMs: number;
  /** Told when due tasks can be looked for: at each opening, and after what could not be sent. */
  readonly wake: () => void;
  /** Told when a queue has room again. */
  readonly roomAgain: () => void;
}

/** What this process knows of a queue at RabbitMQ. */
interface Lane {
  readonly queue: Queue;
  /** How many messages wait there at most. The other tasks wait in the table. */
  readonly waitingMax: number;
  /** How many more may be sent before RabbitMQ is asked again how many wait. */
  room: number;
  unconfirmed: number;
  measuring: boolean;
}

const waitingForEachPlace = 32;
const batchMax = 500;
const measureAgainMs = 50;
const sendAgainMs = 500;
const confirmMs = 10_000;
const closeMs = 2_000;

/** Due tasks go to RabbitMQ, with confirms: what is not confirmed is due again at once. */
export class RabbitSender implements Dispatch {
  readonly #needs: Needs;
  readonly #lanes: ReadonlyMap<string, Lane>;
  readonly #channel: SteadyChannel;
  readonly #sending = new Set<Promise<void>>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #failing = false;
  #pausing = false;
  #stopped = false;

  constructor(needs: Needs) {
    this.#needs = needs;
    const laneOf = (queue: Queue): Lane => {
      const waitingMax = concurrencyOf(queue) * waitingForEachPlace;
      return { queue, waitingMax, room: 0, unconfirmed: 0, measuring: false };
    };
    this.#lanes = new Map(needs.served.map((queue) => [queue.name, laneOf(queue)]));
    const setUp = async (channel: Channel) => this.#setUp(channel);
    this.#channel = new SteadyChannel({ ...needs, purpose: "send tasks", setUp, opened: needs.wake });
  }

  /** Resolves when it can send for the first time. */
  start(): Promise<void> {
    return this.#channel.start();
  }

  /** Waits a little for confirms, and gives back what has none. Nothing is sent afterwards. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    await within(closeMs, Promise.all(this.#sending));
    await this.#channel.stop();
    await Promise.all(this.#sending);
  }

  /** None before half of what may wait there has gone, so that it is asked and sent in batches. */
  roomFor(queue: Queue): number {
    const lane = this.#lanes.get(queue.name);
    if (lane === undefined || this.#stopped || this.#pausing) return 0;
    const channel = this.#channel.current?.channel;
    if (channel === undefined || !this.#needs.connection.ready) return 0;
    if (lane.room >= lane.waitingMax / 2) return Math.min(lane.room, batchMax);
    if (!lane.measuring) void this.#measure(lane, channel);
    return 0;
  }

  async dispatch(requests: readonly Request[], now: Date): Promise<Dispatched> {
    const { database, sentLeaseMs } = this.#needs;
    const asked = requests.map(({ queue, room }) => ({ queue: queue.name, room, leaseMs: sentLeaseMs }));
    const { claimed, nextDue } = await claimTasks(database, asked, now, "send");
    const found = new Map<string, number>();
    for (const { queue } of claimed) found.set(queue, (found.get(queue) ?? 0) + 1);
    for (const [queue, count] of found) this.#count(queue, count);
    if (claimed.length > 0) {
      const sending = this.#send(claimed).finally(() => this.#sending.delete(sending));
      this.#sending.add(sending);
    }
    return { found, nextDue };
  }

  #count(queue: string, count: number): void {
    const lane = this.#lanes.get(queue);
    if (lane === undefined) throw new Error(`a task of ${queue} was claimed, which was not asked for`);
    lane.room -= count;
    lane.unconfirmed += count;
  }

  async #setUp(channel: Channel): Promise<void> {
    await this.#needs.queues.ensure(channel);
    await channel.confirmSelect();
    for (const lane of this.#lanes.values()) lane.room = 0; // to be asked
    channel.on("basic.return", ({ body }) => {
      const message = claimOf(body);
      if (message !== undefined) void this.#giveBack([message], new Error("the queue is gone"));
    });
  }

  /** Asks how many messages wait in a queue. */
  async #measure(lane: Lane, channel: Channel): Promise<void> {
    const { log, queues, roomAgain } = this.#needs;
    lane.measuring = true;
    try {
      lane.room = lane.waitingMax - (await queues.waitingIn(channel, lane.queue.name)) - lane.unconfirmed;
    } catch (error) {
      log.debug({ error, queue: lane.queue.name }, "a queue's depth is not known");
    }
    if (lane.room < lane.waitingMax / 2) await this.#after(measureAgainMs);
    lane.measuring = false;
    roomAgain();
  }

  async #send(tasks: readonly ClaimedTask[]): Promise<void> {
    const { queues } = this.#needs;
    const opened = this.#channel.current;
    const unconfirmed = new Set(tasks);
    let failure: unknown;
    if (opened !== undefined) {
      const confirms = tasks.map(async (task) => {
        try {
          await opened.channel.basicPublish(envelopeOf(queues.nameOf(task.queue), task), bodyOf(task));
          unconfirmed.delete(task);
        } catch (error) {
          failure = error;
        }
      });
      // The driver forgets what was being written when a channel closes.
      await within(confirmMs, Promise.race([Promise.all(confirms), opened.closed]));
      if (unconfirmed.size > 0 && opened.channel.active) {
        failure ??= new Error(
          `no confirm within ${confirmMs} ms: if a queue of these stays stuck, delete it, it is made anew and no task is lost`,
        );
        this.#channel.reopen();
      }
    }
    for (const { queue } of tasks) {
      const lane = this.#lanes.get(queue);
      if (lane !== undefined) lane.unconfirmed--;
    }
    if (unconfirmed.size > 0) await this.#giveBack([...unconfirmed], failure);
    else this.#failing = false;
  }

  /** Makes tasks due again that did not reach a queue, and looks for due ones after a moment. */
  async #giveBack(messages: readonly Claim[], error: unknown): Promise<void> {
    const { connection, database, log } = this.#needs;
    // Of a lost connection its own line tells.
    const news = connection.ready && !this.#failing && !this.#stopped;
    this.#failing = true;
    log[news ? "warn" : "debug"]({ error, tasks: messages.length }, "tasks could not be sent");
    void this.#pause();
    try {
      await unsendTasks(database, messages);
    } catch (failure) {
      log.warn({ error: failure, tasks: messages.length }, "tasks that were not sent could not be given back: they wait for their lease");
    }
  }

  async #pause(): Promise<void> {
    if (this.#pausing) return;
    this.#pausing = true;
    await this.#after(sendAgainMs);
    this.#pausing = false;
    this.#needs.wake();
  }

  /** Resolves after so long; at a stop never. */
  #after(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        resolve();
      }, ms);
      this.#timers.add(timer);
    });
  }
}
