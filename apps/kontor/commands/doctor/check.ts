import type { Output } from "../command.ts";
import { paint, plain } from "../terminal/paint.ts";

/** One line of the doctor's output. What is not ok has advice. */
export interface Check {
  readonly verdict: "ok" | "warn" | "wrong";
  readonly about: string;
  readonly text: string;
  readonly advice?: string;
}

const colours = { ok: "green", warn: "yellow", wrong: "red" } as const;

/** The line for a person, its advice below it. */
export function checkText(output: Output, { verdict, about, text, advice }: Check): string {
  const line = `${paint(output, colours[verdict], verdict.padEnd(5))}  ${about.padEnd(16)}  ${plain(text)}\n`;
  return advice === undefined ? line : `${line}${" ".repeat(25)}${plain(advice)}\n`;
}

/** The check's result; when it throws, the sentence that it throws is the finding. */
export async function checked(about: string, work: () => Promise<Check>): Promise<Check> {
  try {
    return await work();
  } catch (error) {
    // PostgreSQL's last lines follow the sentence that explains them.
    const [text = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
    return { verdict: "wrong", about, text };
  }
}
