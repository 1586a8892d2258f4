import { ConfigError } from "@kontor/platform/config/read-config.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { CommandError, UsageError } from "./command.ts";
import type { Command, Context } from "./command.ts";
import { paint } from "./terminal/paint.ts";

/** Says on standard error what went wrong and gives the exit code. Only a fault, which nobody foresaw, shows where it happened. */
export function tellFailure(
  error: unknown,
  command: Pick<Command, "name" | "usage"> | undefined,
  { stderr }: Pick<Context, "stderr">,
): number {
  const tell = (text: string): void => void stderr.write(`${paint(stderr, "red", "kontor:")} ${text}\n`);
  if (error instanceof UsageError) {
    tell(`${error.message}${command === undefined ? "" : `\n\n${command.usage}`}`);
    return 2;
  }
  if (error instanceof CommandError || error instanceof ConfigError) {
    tell(error.message);
    return 1;
  }
  const refusal = refusalIn(error);
  if (refusal !== undefined && refusal.reason !== "INTERNAL_ERROR") {
    const fields = refusal.fields.map(({ field, message }) => `\n  ${field} ${message}`).join("");
    tell(`${refusal.message === refusal.reason ? "" : `${refusal.message} `}(${refusal.reason})${fields}`);
    return 1;
  }
  tell(`something went wrong that should not\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return 1;
}
