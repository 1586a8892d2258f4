import { rm, rmdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { codeOf } from "@kontor/platform/database/embedded-failure.ts";
import { dataIn } from "@kontor/platform/database/embedded-home.ts";
import { readPidFile, servesFolder } from "@kontor/platform/database/embedded-pid.ts";
import { eraseEmbeddedPostgres, startEmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import { createLogger } from "@kontor/platform/telemetry/create-logger.ts";
import { readConfiguration } from "../configuration.ts";
import type { Configuration } from "../configuration.ts";
import { CommandError, readArgs } from "./command.ts";
import type { Command } from "./command.ts";
import { explainOpening } from "./app/explain-opening.ts";
import { shopRuns } from "./app/shop-runs.ts";
import { ask } from "./terminal/ask.ts";

/** Kontor's files in the data folder, beside PostgreSQL's. */
const ownFiles = ["master.key", "master.key.new"] as const;

export const reset: Command = {
  name: "reset",
  summary: "delete the shop with all its data",
  usage: `Usage: kontor reset [--yes]

Deletes the databases and the master key in the data folder (KONTOR_DATA), and the folder when nothing else is in it. Refuses while a shop
runs on it.

  --yes   do not prompt`,
  async run(args, context) {
    const { values } = readArgs(args, { yes: { type: "boolean" } });
    const config = readConfiguration(context.env);
    const folder = resolve(config.data);
    if (!(await holdsShop(folder))) {
      context.stdout.write(`There is no shop in ${folder}.\n`);
      return 0;
    }
    if (await isTaken(config)) throw new CommandError(`a shop is running on ${folder}: stop it first`);
    if (values.yes !== true) {
      if (context.stdin.isTTY !== true) throw new CommandError("add --yes: there is no terminal for a prompt");
      const answer = await ask(context, `This deletes the shop in ${folder} with all orders, products and accounts. Type "yes" to go on: `);
      if (answer !== "yes") throw new CommandError("nothing was deleted");
    }
    await eraseEmbeddedPostgres(folder).catch((error: unknown) => {
      throw explainOpening(error, config);
    });
    for (const name of ownFiles) await rm(join(folder, name), { force: true });
    // The folder may have other files, which stay.
    await rmdir(folder).catch((error: unknown) => {
      if (!["ENOTEMPTY", "EEXIST"].includes(codeOf(error) ?? "")) throw error;
    });
    context.stdout.write(`The shop in ${folder} is deleted. kontor start makes a new one.\n`);
    return 0;
  },
};

async function holdsShop(folder: string): Promise<boolean> {
  const found = await Promise.all(["postgres", ...ownFiles].map((name) => stat(join(folder, name)).then(Boolean, missing)));
  return found.includes(true);
}

function missing(error: unknown): false {
  if (["ENOENT", "ENOTDIR"].includes(codeOf(error) ?? "")) return false;
  throw error;
}

/** Whether a shop runs on the folder. Without a running PostgreSQL none does. */
async function isTaken(config: Configuration): Promise<boolean> {
  const data = await dataIn(config.data);
  const there = data === undefined ? undefined : await readPidFile(data);
  if (data === undefined || there === undefined || !(await servesFolder(there.pid, data))) return false;
  // It would log that the server has ended, which is intended here.
  const log = createLogger({ service: "kontor", level: "silent" });
  const postgres = await startEmbeddedPostgres({ folder: config.data, log }).catch((error: unknown) => {
    throw explainOpening(error, config);
  });
  return shopRuns(postgres.superuser);
}
