import { rabbitDeadLetters } from "./rabbit-dead-letters.ts";
import { RabbitConnection } from "./rabbit-connection.ts";
import type { RabbitAddress } from "./rabbit-connection.ts";
import { RabbitQueues } from "./rabbit-queues.ts";
import { RabbitReceiver } from "./rabbit-receiver.ts";
import { RabbitSender } from "./rabbit-sender.ts";
import { within } from "../retry/within.ts";
import { createEngine } from "./tasks-engine.ts";
import type { TasksEngine, TasksInit } from "./tasks-engine.ts";

/** What tasks over RabbitMQ need besides what all tasks need. */
export interface RabbitTasksInit extends TasksInit, RabbitAddress {
  /** The prefix of the names at RabbitMQ: `kontor` by default. Installations that share a virtual host need different ones. */
  readonly prefix?: string;
  /** After how long a task is sent again whose message no process has begun: 60,000. A shorter time recovers lost messages sooner. */
  readonly sentLeaseMs?: number;
}

const openMs = 5_000;

/**
 * Tasks that go through RabbitMQ to any process of the service. Their rows stay in the service's PostgreSQL with due times, attempts and
 * ends; RabbitMQ only distributes due tasks, so that losing it loses none. Refuses malformed addresses, and at the start a server that refuses
 * the user; tasks wait for one that is unavailable.
 */
export function createRabbitTasks(init: RabbitTasksInit): TasksEngine {
  const { prefix = "kontor", sentLeaseMs = 60_000 } = init;
  return createEngine(init, (parts) => {
    const { log } = parts;
    const rabbit = new RabbitConnection({ address: init, name: `${prefix}.${init.service}`, log });
    let sender: RabbitSender | undefined;
    let receivers: readonly RabbitReceiver[] = [];
    let channels: readonly { start(): Promise<void>; stop(): Promise<void> }[] = [];
    return {
      dispatch: {
        roomFor: (queue) => sender?.roomFor(queue) ?? 0,
        dispatch: async (requests, now) => {
          if (sender === undefined) throw new Error("tasks are dispatched before the start");
          return sender.dispatch(requests, now);
        },
      },
      async start() {
        const connection = await rabbit.start();
        const served = parts.queues();
        const needs = { ...parts, connection, queues: new RabbitQueues(prefix, init.service, served.keys()) };
        const deadLetters = rabbitDeadLetters({ ...needs, served, runner: parts.runs.runner });
        receivers = [...served.values()].map((queue) => new RabbitReceiver({ ...needs, queue }));
        sender = new RabbitSender({ ...needs, served: [...served.values()], sentLeaseMs });
        channels = [sender, deadLetters, ...receivers];
        const opened = Promise.all(channels.map((channel) => channel.start()));
        if (rabbit.ready) await within(openMs, opened);
      },
      retire: () => {
        for (const receiver of receivers) receiver.retire();
      },
      stop: () => rabbit.stop(async () => Promise.all(channels.map((channel) => channel.stop()))),
    };
  });
}
