import type { Channel, Connection } from "rabbitmq-client";
import type { Database } from "../database/database.ts";
import type { Logger } from "../telemetry/logger.ts";
import { concurrencyOf } from "./dispatch.ts";
import type { Dispatch, Dispatched, Request } from "./dispatch.ts";
import { ReopeningChannel } from "./rabbit-channel.ts";
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
  /** Called when due tasks can be claimed: at each opening, and after a failed send. */
  readonly wake: () => void;
  /** Called when a queue has room again. */
  readonly capacityFreed: () => void;
}

/** How many messages this process may send to a queue at RabbitMQ. */
interface SendWindow {
  readonly queue: Queue;
  /** How many messages may wait there. The other tasks wait in the table. */
  readonly waitingMax: number;
  /** How many more may be sent before the queue is measured again. */
  room: number;
  unconfirmed: number;
  measuring: boolean;
}

const waitingPerSlot = 32;
const batchMax = 500;
const measureAgainMs = 50;
const sendAgainMs = 500;
const confirmMs = 10_000;
const closeMs = 2_000;

/** Due tasks go to RabbitMQ, with confirms: what is not confirmed is due again at once. */
export class RabbitSender implements Dispatch {
  readonly #needs: Needs;
  readonly #windows: ReadonlyMap<string, SendWindow>;
  readonly #channel: ReopeningChannel;
  readonly #sending = new Set<Promise<void>>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #failing = false;
  #pausing = false;
  #stopped = false;

  constructor(needs: Needs) {
    this.#needs = needs;
    const windowOf = (queue: Queue): SendWindow => {
      const waitingMax = concurrencyOf(queue) * waitingPerSlot;
      return { queue, waitingMax, room: 0, unconfirmed: 0, measuring: false };
    };
    this.#windows = new Map(needs.served.map((queue) => [queue.name, windowOf(queue)]));
    const setUp = async (channel: Channel) => this.#setUp(channel);
    this.#channel = new ReopeningChannel({ ...needs, purpose: "send tasks", setUp, opened: needs.wake });
  }

  /** Resolves when it can send for the first time. */
  start(): Promise<void> {
    return this.#channel.start();
  }

  /** Waits a little for confirms, and makes tasks without one due again. Nothing is sent afterwards. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    await within(closeMs, Promise.all(this.#sending));
    await this.#channel.stop();
    await Promise.all(this.#sending);
  }

  /** None before half of the window is free, so that tasks are claimed and sent in batches. */
  roomFor(queue: Queue): number {
    const window = this.#windows.get(queue.name);
    if (window === undefined || this.#stopped || this.#pausing) return 0;
    const channel = this.#channel.current?.channel;
    if (channel === undefined || !this.#needs.connection.ready) return 0;
    if (window.room >= window.waitingMax / 2) return Math.min(window.room, batchMax);
    if (!window.measuring) void this.#measure(window, channel);
    return 0;
  }

  async dispatch(requests: readonly Request[], now: Date): Promise<Dispatched> {
    const { database, sentLeaseMs } = this.#needs;
    const wanted = requests.map(({ queue, room }) => ({ queue: queue.name, room, leaseMs: sentLeaseMs }));
    const { claimed, nextDue } = await claimTasks(database, wanted, now, "send");
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
    const window = this.#windows.get(queue);
    if (window === undefined) throw new Error(`a task of ${queue} was claimed without having been requested`);
    window.room -= count;
    window.unconfirmed += count;
  }

  async #setUp(channel: Channel): Promise<void> {
    await this.#needs.queues.ensure(channel);
    await channel.confirmSelect();
    for (const window of this.#windows.values()) window.room = 0; // to be measured
    channel.on("basic.return", ({ body }) => {
      const message = claimOf(body);
      if (message !== undefined) void this.#unsend([message], new Error("the queue does not exist"));
    });
  }

  /** Reads how many messages wait in a queue. */
  async #measure(window: SendWindow, channel: Channel): Promise<void> {
    const { log, queues, capacityFreed } = this.#needs;
    window.measuring = true;
    try {
      window.room = window.waitingMax - (await queues.waitingIn(channel, window.queue.name)) - window.unconfirmed;
    } catch (error) {
      log.debug({ error, queue: window.queue.name }, "a queue's depth could not be read");
    }
    if (window.room < window.waitingMax / 2) await this.#after(measureAgainMs);
    window.measuring = false;
    capacityFreed();
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
      // When a channel closes, the driver settles no publish that is under way.
      await within(confirmMs, Promise.race([Promise.all(confirms), opened.closed]));
      if (unconfirmed.size > 0 && opened.channel.active) {
        failure ??= new Error(
          `no confirm within ${confirmMs} ms: a queue that stays stuck can be deleted: it is declared again and no task is lost`,
        );
        this.#channel.reopen();
      }
    }
    for (const { queue } of tasks) {
      const window = this.#windows.get(queue);
      if (window !== undefined) window.unconfirmed--;
    }
    if (unconfirmed.size > 0) await this.#unsend([...unconfirmed], failure);
    else this.#failing = false;
  }

  /** Makes tasks due again that did not come to a queue, and claims due ones after a pause. */
  async #unsend(messages: readonly Claim[], error: unknown): Promise<void> {
    const { connection, database, log } = this.#needs;
    // A lost connection is logged by itself.
    const warn = connection.ready && !this.#failing && !this.#stopped;
    this.#failing = true;
    log[warn ? "warn" : "debug"]({ error, tasks: messages.length }, "tasks could not be sent");
    void this.#pause();
    try {
      await unsendTasks(database, messages);
    } catch (failure) {
      log.warn(
        { error: failure, tasks: messages.length },
        "tasks that were not sent could not be released: they wait for their lease to end",
      );
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
