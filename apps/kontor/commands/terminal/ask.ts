import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { CommandError } from "../command.ts";
import type { Context } from "../command.ts";

/** Asks a question on the terminal and gives the answer without spaces around it; "" when the input ends. With `hidden` nothing that is typed is shown. */
export async function ask(
  { stdin, stdout }: Pick<Context, "stdin" | "stdout">,
  question: string,
  { hidden = false } = {},
): Promise<string> {
  const echo = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (!hidden) stdout.write(chunk.toString());
      done();
    },
  });
  const lines = createInterface({ input: stdin, output: echo, terminal: stdin.isTTY === true });
  // Only now: before, the terminal itself would show what is typed.
  stdout.write(question);
  try {
    return await new Promise<string>((resolve, reject) => {
      lines.once("line", (line) => resolve(line.trim()));
      lines.once("SIGINT", () => reject(new CommandError("stopped; nothing was done")));
      lines.once("close", () => resolve(""));
    });
  } finally {
    lines.close();
    if (hidden) stdout.write("\n");
  }
}
