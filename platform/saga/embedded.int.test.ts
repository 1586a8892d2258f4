import { systemClock } from "../clock/clock.ts";
import { createConnectionBudget } from "../database/connection-budget.ts";
import { migrate } from "../database/migrate.ts";
import { openDatabase } from "../database/postgres.ts";
import { createIds } from "../ids/ids.ts";
import type { Logger } from "../telemetry/logger.ts";
import { testDatabase } from "../testing/postgres.ts";
import { sagasContract } from "./saga.contract.ts";
import { createSagas, sagaMigrations } from "./embedded.ts";

const ids = createIds(systemClock);
const quiet: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined, child: () => quiet };

sagasContract("PostgreSQL", async () => {
  const { connection } = await testDatabase();
  const database = openDatabase({
    name: "checkout",
    connection,
    budget: createConnectionBudget({ connections: 10, background: 4 }),
    log: quiet,
  });
  await migrate(database, [sagaMigrations]);
  return { database, engine: (init) => createSagas({ ids, ...init }), close: () => database.stop() };
});
