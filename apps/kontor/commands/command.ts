import { parseArgs } from "node:util";
import type { ParseArgsOptionsConfig } from "node:util";

/** Where a command writes: standard output and error, or what a test reads. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** A command's environment and streams: the process's, or a test's. */
export interface Context {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: Output;
  readonly stderr: Output;
}

/** A command of `kontor`. */
export interface Command {
  readonly name: string;
  /** One line for the list. */
  readonly summary: string;
  /** How it is called, with all options. */
  readonly usage: string;
  /** Returns the exit code. Throws `CommandError` and `UsageError` with a sentence for the user, and anything else for a fault. */
  run(args: readonly string[], context: Context): Promise<number>;
}

/** What went wrong, in a sentence for the person who ran the command. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** The command was called wrongly. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Reads a command's options. Throws `UsageError` for one that is unknown or lacks its value, and for more or fewer words than `words` names. */
export function readArgs<const Options extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: Options,
  words: readonly string[] = [],
) {
  const parsed = parsedArgs(args, options);
  const missing = words[parsed.positionals.length];
  if (missing !== undefined) throw new UsageError(`${missing} is missing`);
  const extra = parsed.positionals[words.length];
  if (extra !== undefined) throw new UsageError(`"${extra}" is one word too many`);
  return parsed;
}

/** The same with any number of words. */
export function parsedArgs<const Options extends ParseArgsOptionsConfig>(args: readonly string[], options: Options) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    if (!(error instanceof TypeError) || !("code" in error) || !String(error.code).startsWith("ERR_PARSE_ARGS")) throw error;
    // Node adds a hint about "--" to its sentence, which does not apply here.
    throw new UsageError(error.message.split(". ")[0], { cause: error });
  }
}

/** A command that has commands of its own: `kontor parked list`. Throws `UsageError` when the first word is none of them. */
export function subcommand<Name extends string>(args: readonly string[], names: readonly Name[]): readonly [Name, readonly string[]] {
  const [first, ...rest] = args;
  const name = names.find((one) => one === first);
  if (name === undefined)
    throw new UsageError(
      first === undefined ? `the next word must be one of: ${names.join(", ")}` : `"${first}" is not known here, only: ${names.join(", ")}`,
    );
  return [name, rest];
}
