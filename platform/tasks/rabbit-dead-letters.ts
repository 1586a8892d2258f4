import type { AsyncMessage, Channel, Connection } from "rabbitmq-client";
import { refuse } from "../errors/refusal.ts";
import type { Database } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import type { Logger } from "../telemetry/logger.ts";
import { ReopeningChannel } from "./rabbit-channel.ts";
import { claimOf } from "./rabbit-queues.ts";
import type { RabbitQueues } from "./rabbit-queues.ts";
import type { TaskRunner } from "./task-runner.ts";
import { beginTasks } from "./task-store.ts";
import type { Queue } from "./tasks.ts";

interface Needs {
  readonly connection: Connection;
  readonly database: Database;
  readonly log: Logger;
  readonly queues: RabbitQueues;
  readonly served: ReadonlyMap<string, Queue>;
  readonly runner: TaskRunner;
}

const leaseMs = 60_000;
const atOnce = 16;

/**
 * Moves the service's dead letters at RabbitMQ into the tasks' rows: what RabbitMQ could not deliver counts as a failed try, so that it is
 * retried later or, after its last try, is a dead task with its cause. Each message is logged with an alert before it is removed.
 */
export function rabbitDeadLetters(needs: Needs): ReopeningChannel {
  const { database, log, queues, served, runner } = needs;

  const store = async ({ body, headers, routingKey }: AsyncMessage): Promise<void> => {
    const reason = String(headers?.["x-first-death-reason"] ?? "unknown");
    const message = claimOf(body);
    const alert = { alert: "TASK_UNDELIVERED", task: message?.id, queue: routingKey, reason };
    if (message === undefined) return log.error(alert, "RabbitMQ could not deliver a message that belongs to no task");
    const [task] = await beginTasks(database, [message], leaseMs);
    if (task === undefined) return log.error(alert, "RabbitMQ could not deliver a message whose task no longer waits for it");
    log.error(alert, "RabbitMQ could not deliver a task's message: this counts as a failed try");
    const error = refuse({
      reason: "DEPENDENCY_UNAVAILABLE",
      code: "unavailable",
      message: `RabbitMQ could not deliver the task's message: ${reason}`,
    });
    await runner.fail(served.get(task.queue) ?? {}, task, error);
  };

  const channel = new ReopeningChannel({
    ...needs,
    purpose: "dead letters",
    setUp: async (opened: Channel) => {
      await database.one(sql`select 1 as one`);
      await queues.ensure(opened);
      await opened.basicQos({ prefetchCount: atOnce });
      await opened.basicConsume({ queue: queues.deadLetters }, (message) => {
        store(message).then(
          () => opened.active && opened.basicAck({ deliveryTag: message.deliveryTag }),
          (error: unknown) => {
            log.warn({ error }, "a dead letter could not be stored: it is requeued until the database is available");
            channel.reopen();
          },
        );
      });
    },
  });
  return channel;
}
