#!/usr/bin/env node
import type { Command, Context } from "./commands/command.ts";
import { paint } from "./commands/terminal/paint.ts";
import { reportFailure } from "./commands/report-failure.ts";

/** A command's file is loaded only when the command is used: the shop starts without what it does not need. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  start: async () => (await import("./commands/start.ts")).start,
  cluster: async () => (await import("./commands/cluster.ts")).cluster,
  walk: async () => (await import("./commands/walk.ts")).walk,
  doctor: async () => (await import("./commands/doctor.ts")).doctor,
  import: async () => (await import("./commands/import.ts")).importCommand,
  seed: async () => (await import("./commands/seed.ts")).seed,
  user: async () => (await import("./commands/user.ts")).user,
  parked: async () => (await import("./commands/parked.ts")).parked,
  tasks: async () => (await import("./commands/tasks.ts")).tasks,
  verify: async () => (await import("./commands/verify.ts")).verify,
  rebuild: async () => (await import("./commands/rebuild.ts")).rebuild,
  move: async () => (await import("./commands/move.ts")).move,
  certs: async () => (await import("./commands/certs.ts")).certs,
  reset: async () => (await import("./commands/reset.ts")).reset,
};

/** Runs the command that the arguments name and returns the exit code: 1 when it failed, 2 when it was called wrongly. Never throws. */
export async function run(args: readonly string[], context: Context): Promise<number> {
  const [name = "help", ...rest] = args;
  const wanted = name === "help" ? rest[0] : name;
  if (wanted === undefined || wanted === "--help" || wanted === "-h") return list(context);
  const load = Object.hasOwn(commands, wanted) ? commands[wanted] : undefined;
  if (load === undefined) {
    context.stderr.write(`kontor: there is no command "${wanted}"; kontor help lists them\n`);
    return 2;
  }
  let command: Command | undefined;
  try {
    command = await load();
    if (name === "help" || rest.includes("--help") || rest.includes("-h")) {
      context.stdout.write(`${command.summary}\n\n${command.usage}\n`);
      return 0;
    }
    return await command.run(rest, context);
  } catch (error) {
    return reportFailure(error, command, context);
  }
}

async function list({ stdout }: Context): Promise<number> {
  const all = await Promise.all(Object.values(commands).map((load) => load()));
  const rows = all.map(({ name, summary }) => `  ${paint(stdout, "bold", name.padEnd(8))}  ${summary}\n`);
  stdout.write(
    `Kontor, a commerce backend. Usage: kontor <command> [options]\n\n${rows.join("")}\nkontor <command> --help explains one.\n`,
  );
  return 0;
}

/**
 * The reader of the output may end first, as `head` does. What runs until a signal stops then; every other command ends by itself, and the
 * rest of its output is dropped.
 */
function endWithReader(): void {
  let ended = false;
  for (const stream of [process.stdout, process.stderr])
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
      if (!ended) process.emit("SIGTERM", "SIGTERM");
      ended = true;
    });
}

if (import.meta.main) {
  endWithReader();
  process.exitCode = await run(process.argv.slice(2), process);
}
