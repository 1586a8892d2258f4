import { randomUUID } from "node:crypto";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { Connection } from "rabbitmq-client";
import { systemClock } from "../clock/clock.ts";
import { createIds } from "../ids/ids.ts";
import { createRabbitTasks } from "./rabbitmq.ts";
import type { RabbitTasksInit } from "./rabbitmq.ts";
import { RabbitQueues } from "./rabbit-queues.ts";
import type { TasksEngine } from "./tasks-engine.ts";

const ids = createIds(systemClock);

/** A part of a RabbitMQ of a test's own, and a view of it from outside. */
export interface TestRabbit {
  readonly connection: Connection;
  readonly prefix: string;
  /** An engine as a process has it. */
  engine(init: Omit<RabbitTasksInit, "urls" | "ids" | "prefix"> & Partial<Pick<RabbitTasksInit, "urls">>): TasksEngine;
  nameOf(queue: string): string;
  /** How many messages wait in a queue, the dead letters' one too. */
  waitingIn(name: string): Promise<number>;
  /** Deletes the queues of all its engines, which have stopped. */
  close(): Promise<void>;
}

/** Names of one test's own for a service at this RabbitMQ. */
export function openTestRabbit(urls: readonly string[], service: string): TestRabbit {
  const prefix = `test-${randomUUID().slice(0, 8)}`;
  const deadLetters = `${prefix}.${service}.dead-letters`;
  const hosts = urls.map((url) => new URL(url).host);
  const connection = new Connection({ url: urls[0]!, hosts, retryLow: 200, retryHigh: 1_000 });
  connection.on("error", () => undefined); // that it was away is what some tests want
  const used = new Set<string>();
  return {
    connection,
    prefix,
    engine(init) {
      const queues = typeof init.queues === "function" ? init.queues() : init.queues;
      for (const name of new RabbitQueues(
        prefix,
        service,
        queues.map((queue) => queue.name),
      ).all)
        used.add(name);
      return createRabbitTasks({ ids, urls, prefix, ...init });
    },
    nameOf: (queue) => `${prefix}.${service}.${queue}`,
    waitingIn: async (queue) => (await connection.queueDeclare({ queue, passive: true })).messageCount,
    async close() {
      await connection.onConnect(30_000);
      for (const queue of used) await connection.queueDelete(queue);
      await connection.exchangeDelete({ exchange: deadLetters });
      await connection.close();
    },
  };
}

/** A way to RabbitMQ that a test can cut. */
export interface Relay {
  readonly url: string;
  /** Ends the connections that go through it. */
  cut(): void;
  /** Lets connections through: not before this is called. */
  open(): void;
  /** How many connections it has refused. */
  refused(): number;
  close(): Promise<void>;
}

/** Stands between an engine and RabbitMQ, closed at first. */
export async function openRelay(target: string): Promise<Relay> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let through = false;
  let refused = 0;
  const server = createServer((socket) => {
    if (!through) {
      refused++;
      socket.destroy();
      return;
    }
    const onward = connect(Number(port), hostname);
    for (const [from, to] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      sockets.add(from);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = new URL(target);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: url.href,
    cut,
    refused: () => refused,
    open: () => void (through = true),
    close: async () => {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
