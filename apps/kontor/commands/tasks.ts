import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import { listTasks, replayTask, skipTask } from "@kontor/platform/tasks/admin.ts";
import type { TaskState } from "@kontor/platform/tasks/admin.ts";
import { parsedArgs, readArgs, subcommand, UsageError } from "./command.ts";
import type { Command } from "./command.ts";
import { withDatabases } from "./app/with-databases.ts";
import { table } from "./terminal/table.ts";

const states: readonly TaskState[] = ["waiting", "done", "dead"];
const replayAtOnce = 1_000;

export const tasks: Command = {
  name: "tasks",
  summary: "the services' tasks: list them, replay or skip dead ones",
  usage: `Usage: kontor tasks list [--state dead|waiting|done] [--limit 100]
       kontor tasks replay ID … | --all
       kontor tasks skip ID …

A task that has failed too often is dead and stays until an operator decides: replay makes it due now, with its attempts counted from zero; skip
ends it without executing it. list shows dead tasks by default.

  --service NAME   only of this service
  --queue NAME     only of this queue
  --all            replay all dead tasks`,
  async run(args, context) {
    const [action, rest] = subcommand(args, ["list", "replay", "skip"]);
    const options = {
      service: { type: "string" },
      queue: { type: "string" },
      state: { type: "string", default: "dead" },
      limit: { type: "string", default: "100" },
      all: { type: "boolean" },
    } as const;
    const { values, positionals: ids } = action === "list" ? readArgs(rest, options) : parsedArgs(rest, options);
    const { service, queue, all } = values;
    const state = states.find((one) => one === values.state);
    if (state === undefined) throw new UsageError(`--state must be one of ${states.join(", ")}, not "${values.state}"`);
    const limit = Number(values.limit);
    if (!Number.isInteger(limit) || limit < 1) throw new UsageError(`--limit must be a whole number, not "${values.limit}"`);
    const everything = action === "replay" && all === true;
    if (action !== "list" && ids.length === 0 && !everything)
      throw new UsageError(`say which tasks${action === "replay" ? ", or --all" : ""}`);
    return withDatabases(context, service, async (databases) => {
      const of = queue === undefined ? {} : { queue };
      if (action === "list") {
        context.stdout.write(await taskTable(databases, { state, limit, ...of }));
        return 0;
      }
      if (everything) {
        let count = 0;
        for (const database of databases.values()) count += await replayDead(database, of);
        context.stdout.write(`${count} dead tasks are due again.\n`);
        return 0;
      }
      const missing: string[] = [];
      for (const id of ids)
        if (!(await inOne(databases, (database) => (action === "replay" ? replayTask : skipTask)(database, id, new Date()))))
          missing.push(id);
      context.stdout.write(
        `${ids.length - missing.length} of ${ids.length} tasks ${action === "replay" ? "are due again" : "were ended"}.\n`,
      );
      if (missing.length > 0)
        context.stderr.write(`kontor: ${action === "replay" ? "not dead" : "not dead or waiting"}: ${missing.join(", ")}\n`);
      return missing.length === 0 ? 0 : 1;
    });
  },
};

async function taskTable(databases: ReadonlyMap<string, PostgresDatabase>, filter: Parameters<typeof listTasks>[1]): Promise<string> {
  const rows: string[][] = [];
  for (const [service, database] of databases)
    for (const { queue, id, running, state, attempts, endedAt, dueAt, key, cause = "" } of await listTasks(database, filter))
      rows.push([service, queue, id, running ? "running" : state, String(attempts), (endedAt ?? dueAt).toISOString(), key, cause]);
  const time = filter.state === "waiting" ? "DUE" : "ENDED";
  return rows.length === 0
    ? `No task is ${filter.state}.\n`
    : table(["SERVICE", "QUEUE", "ID", "STATE", "ATTEMPTS", time, "KEY", "CAUSE"], rows);
}

async function replayDead(database: PostgresDatabase, of: { readonly queue?: string }): Promise<number> {
  let count = 0;
  for (;;) {
    const dead = await listTasks(database, { state: "dead", limit: replayAtOnce, ...of });
    for (const { id } of dead) if (await replayTask(database, id, new Date())) count++;
    if (dead.length < replayAtOnce) return count;
  }
}

/** Whether one of the databases has it. */
async function inOne(
  databases: ReadonlyMap<string, PostgresDatabase>,
  act: (database: PostgresDatabase) => Promise<boolean>,
): Promise<boolean> {
  for (const database of databases.values()) if (await act(database)) return true;
  return false;
}
