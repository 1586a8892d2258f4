import { ConfigError } from "@kontor/platform/config/read-config.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { CommandError, UsageError } from "./command.ts";
import type { Command, Context } from "./command.ts";
import { paint } from "./terminal/paint.ts";

/** Prints on standard error what went wrong and returns the exit code. Only an unforeseen fault is printed with its stack. */
export function reportFailure(
  error: unknown,
  command: Pick<Command, "name" | "usage"> | undefined,
  { stderr }: Pick<Context, "stderr">,
): number {
  const print = (text: string): void => void stderr.write(`${paint(stderr, "red", "kontor:")} ${text}\n`);
  if (error instanceof UsageError) {
    print(`${error.message}${command === undefined ? "" : `\n\n${command.usage}`}`);
    return 2;
  }
  if (error instanceof CommandError || error instanceof ConfigError) {
    print(error.message);
    return 1;
  }
  const refusal = refusalIn(error);
  if (refusal !== undefined && refusal.reason !== "INTERNAL_ERROR") {
    const fields = refusal.fields.map(({ field, message }) => `\n  ${field} ${message}`).join("");
    print(`${refusal.message === refusal.reason ? "" : `${refusal.message} `}(${refusal.reason})${fields}`);
    return 1;
  }
  print(`something went wrong that should not\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return 1;
}
