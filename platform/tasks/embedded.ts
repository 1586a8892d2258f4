import type { MigrationSet } from "../database/migrate.ts";
import { runHere } from "./dispatch.ts";
import { createEngine } from "./tasks-engine.ts";
import type { TasksEngine, TasksInit } from "./tasks-engine.ts";

export type { TasksEngine, TasksInit } from "./tasks-engine.ts";

/** What a database with tasks needs. */
export const taskMigrations: MigrationSet = { scope: "tasks", folder: new URL("./migrations/", import.meta.url) };

/** Tasks that this process claims from the service's own PostgreSQL: nothing else is needed. */
export function createTasks(init: TasksInit): TasksEngine {
  return createEngine(init, (parts) => ({ dispatch: runHere(parts) }));
}
