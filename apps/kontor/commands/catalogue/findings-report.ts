import { createWriteStream } from "node:fs";
import { once } from "node:events";
import { finished } from "node:stream/promises";
import type { Finding, Report } from "../../shopify/findings.ts";
import { CommandError } from "../command.ts";
import type { Output } from "../command.ts";
import { paint, plain } from "../terminal/paint.ts";

/** Gathers what did not come over: counts all, remembers the first ones for the terminal, and writes all to a file when there is one. */
export interface FindingsReport {
  readonly report: Report;
  readonly counts: Readonly<Record<Finding["kind"], number>>;
  /** How many notes there are of each column. */
  readonly changed: ReadonlyMap<string, number>;
  /** The first ones as lines for a person, rejections before notes, and how many more there are. */
  shown(output: Output): string;
  /** Ends the file. Throws `CommandError` when it could not be written. */
  end(): Promise<void>;
}

const shownMax = 20;

/** Throws `CommandError` when `file`, a CSV, cannot be written. */
export async function createFindingsReport(file: string | undefined): Promise<FindingsReport> {
  const counts = { rejected: 0, note: 0 };
  const changed = new Map<string, number>();
  const first: Readonly<Record<Finding["kind"], Finding[]>> = { rejected: [], note: [] };
  const stream = file === undefined ? undefined : createWriteStream(file);
  let failure: Error | undefined;
  stream?.on("error", (error: Error) => (failure = error));
  const check = (): void => {
    if (failure !== undefined)
      throw new CommandError(`the report ${file} cannot be written: ${failure.message}`, {
        cause: failure,
      });
  };
  if (stream !== undefined) {
    await once(stream, "open").catch(() => undefined); // `failure` has the reason
    check();
    stream.write("line,handle,column,kind,message\r\n");
  }
  return {
    counts,
    changed,
    report(finding) {
      counts[finding.kind]++;
      if (finding.kind === "note") changed.set(finding.column, (changed.get(finding.column) ?? 0) + 1);
      if (first[finding.kind].length < shownMax) first[finding.kind].push(finding);
      const { line, handle, column, kind, message } = finding;
      stream?.write(`${[String(line), handle, column, kind, message].map(csvCell).join(",")}\r\n`);
    },
    shown(output) {
      const lines = [...first.rejected, ...first.note].slice(0, shownMax).map(({ kind, line, handle, column, message }) => {
        const where = [handle, column === "" ? "" : `${column}:`].filter((part) => part !== "").join("  ");
        return `  ${paint(output, kind === "rejected" ? "red" : "yellow", kind.padEnd(8))}  line ${line}  ${plain(where === "" ? message : `${where} ${message}`)}\n`;
      });
      const more = counts.rejected + counts.note - lines.length;
      if (more > 0)
        lines.push(`  and ${more.toLocaleString("en")} more${file === undefined ? " (--report FILE writes them all down)" : ""}\n`);
      if (file !== undefined && lines.length > 0) lines.push(`  all of them are in ${file}\n`);
      return lines.join("");
    },
    async end() {
      if (stream === undefined) return;
      stream.end();
      await finished(stream).catch(() => undefined); // `failure` has the reason
      check();
    },
  };
}

/** Quoted; a spreadsheet takes what begins like a formula for a text. */
function csvCell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
