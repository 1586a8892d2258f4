// A process that works on a test's queue until it is killed. Its settings come as the argument; it reports each task that it begins to its parent.
import { systemClock } from "../clock/clock.ts";
import { createConnectionBudget } from "../database/connection-budget.ts";
import { connectionFrom } from "../database/connection.ts";
import { openDatabase } from "../database/postgres.ts";
import { createIds } from "../ids/ids.ts";
import type { Logger } from "../telemetry/logger.ts";
import { createRabbitTasks } from "./rabbitmq.ts";
import { hangingQueue } from "./test-worker.ts";
import type { WorkerOrders } from "./test-worker.ts";

const quiet: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined, child: () => quiet };
const { databaseUrl, rabbitUrl, prefix, service, queue, timeoutMs, leaseMs } = JSON.parse(process.argv[2] ?? "") as WorkerOrders;

const budget = createConnectionBudget({ connections: 6, background: 2 });
const database = openDatabase({ name: service, connection: connectionFrom(databaseUrl, "the argument"), budget, log: quiet });
const tasks = createRabbitTasks({
  service,
  database,
  queues: [hangingQueue(queue, timeoutMs, (task) => process.send?.(task.id))],
  clock: systemClock,
  ids: createIds(systemClock),
  log: quiet,
  options: { leaseMs },
  urls: [rabbitUrl],
  prefix,
});
await tasks.start();
process.send?.("ready");
