import { parseArgs } from "node:util";
import type { ParseArgsOptionsConfig } from "node:util";

/**
 * The options of the command line, as `read` understands them. With `--help` prints how the command is called and ends the process; for an option that is
 * unknown, or that `read` throws for, prints what is wrong too and ends it with exit code 2.
 */
export function readOptions<const Options extends ParseArgsOptionsConfig, Read>(
  usage: string,
  options: Options,
  read: (values: ReturnType<typeof parseArgs<{ options: Options }>>["values"]) => Read,
): Read {
  if (process.argv.includes("--help")) {
    console.log(usage);
    process.exit(0);
  }
  try {
    return read(parseArgs({ options }).values);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    process.exit(2);
  }
}
