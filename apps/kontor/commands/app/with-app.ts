import { constants } from "node:os";
import { deferSignals } from "@kontor/platform/lifecycle/defer-signals.ts";
import { createLogger } from "@kontor/platform/telemetry/create-logger.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { readConfiguration } from "../../configuration.ts";
import type { Configuration } from "../../configuration.ts";
import type { App } from "../../app.ts";
import type { Role } from "../../roles.ts";
import { CommandError } from "../command.ts";
import type { Context } from "../command.ts";
import { explainOpening } from "./explain-opening.ts";

/** A logger for commands other than start and cluster: only errors, on standard error. */
export function quietLogger({ stderr }: Pick<Context, "stderr">): Logger {
  return createLogger({ service: "kontor", level: "error", format: "pretty", stream: stderr });
}

/**
 * Opens the app. Signals are held back until it is open, because its PostgreSQL would outlive this process. Throws `CommandError` when it cannot be
 * opened for a reason that the user can change.
 */
export async function open(config: Configuration, log: Logger, as: "shop" | "attached", roles?: readonly Role[]): Promise<App> {
  // Loaded here and not at the top: commands that do not open the app need neither services nor drivers.
  const { openApp } = await import("../../app.ts");
  let opening = true;
  const release = deferSignals();
  // An error that will be reported in a sentence is not logged with its stack as well.
  const isReported = (error: unknown): boolean => opening && explainOpening(error, config) instanceof CommandError;
  const quieter: Logger = { ...log, error: (fields, message) => (isReported(fields.error) ? log.debug : log.error)(fields, message) };
  try {
    return await openApp({ config, log: quieter, as, ...(roles && { roles }) });
  } catch (error) {
    throw explainOpening(error, config);
  } finally {
    opening = false;
    release();
  }
}

/** Opens the app attached, beside a running shop or without one, for one piece of work. Ctrl-C closes it too. */
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
