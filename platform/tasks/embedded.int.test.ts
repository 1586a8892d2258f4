import { systemClock } from "../clock/clock.ts";
import { createConnectionBudget } from "../database/connection-budget.ts";
import { migrate } from "../database/migrate.ts";
import { openDatabase } from "../database/postgres.ts";
import { createIds } from "../ids/ids.ts";
import type { Logger } from "../telemetry/logger.ts";
import { testDatabase } from "../testing/postgres.ts";
import { createTasks, taskMigrations } from "./embedded.ts";
import { tasksContract } from "./tasks.contract.ts";

const ids = createIds(systemClock);
const quiet: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined, child: () => quiet };

tasksContract("embedded", async () => {
  const { connection } = await testDatabase();
  const database = openDatabase({
    name: "orders",
    connection,
    budget: createConnectionBudget({ connections: 10, background: 4 }),
    log: quiet,
  });
  await migrate(database, [taskMigrations]);
  return { database, engine: (init) => createTasks({ ids, ...init }), close: () => database.stop() };
});
