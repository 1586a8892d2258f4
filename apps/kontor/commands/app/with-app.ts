import { constants } from "node:os";
import { createLogger } from "@kontor/platform/telemetry/create-logger.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { readConfiguration } from "../../configuration.ts";
import type { Configuration } from "../../configuration.ts";
import type { App } from "../../app.ts";
import type { Role } from "../../roles.ts";
import { CommandError } from "../command.ts";
import type { Context } from "../command.ts";
import { explainOpening } from "./explain-opening.ts";

/** A logger for commands that are not the shop: only what went wrong, on standard error. */
export function quietLogger({ stderr }: Pick<Context, "stderr">): Logger {
  return createLogger({ service: "kontor", level: "error", format: "pretty", stream: stderr });
}

/** Opens the house and explains what kept it from opening. Throws `CommandError` for what the user can do something about. */
export async function open(config: Configuration, log: Logger, as: "shop" | "attached", roles?: readonly Role[]): Promise<App> {
  // Read here and not at the top: the services are most of what there is to load.
  const { openApp } = await import("../../app.ts");
  let opening = true;
  // What is about to be told in a sentence need not stand in the log with its stack as well.
  const told = (error: unknown): boolean => opening && explainOpening(error, config) instanceof CommandError;
  const sparing: Logger = { ...log, error: (fields, message) => (told(fields.error) ? log.debug : log.error)(fields, message) };
  try {
    return await openApp({ config, log: sparing, as, ...(roles && { roles }) });
  } catch (error) {
    throw explainOpening(error, config);
  } finally {
    opening = false;
  }
}

/** Does a piece of work on the house, beside a running shop or without one, and closes it again. Ctrl-C closes it too. */
export async function withApp<T>(context: Context, work: (app: App, config: Configuration) => Promise<T>): Promise<T> {
  const config = readConfiguration(context.env);
  const app = await open(config, quietLogger(context), "attached");
  // A PostgreSQL that this command started would otherwise outlive it.
  const interrupted = (signal: "SIGINT" | "SIGTERM"): void => {
    const exit = (): never => process.exit(128 + constants.signals[signal]);
    app.stop().then(exit, exit);
  };
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  try {
    return await work(app, config);
  } finally {
    process.off("SIGINT", interrupted).off("SIGTERM", interrupted);
    await app.stop();
  }
}
