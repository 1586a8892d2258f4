import { CommandError } from "../commands/command.ts";

/** How a file is written. */
export interface Dialect {
  readonly delimiter: string;
  /** The text from the column names on. */
  readonly text: AsyncIterable<string>;
  /** The line on which the column names are. */
  readonly line: number;
}

const hint = /^"?sep=(.)"?\r?\n/i;
const firstLineMax = 1_000_000;

/**
 * Reads how a file is written from its first line: the delimiter that Excel's `sep=;` names, which is a line before the column names, or the most
 * frequent one. Spreadsheets of some countries write semicolons. Throws `CommandError` for what is no text.
 */
export async function readDialect(chunks: AsyncIterable<string>): Promise<Dialect> {
  const iterator = chunks[Symbol.asyncIterator]();
  let beginning = "";
  while (!/[\r\n]./s.test(beginning) && beginning.length < firstLineMax) {
    const next = await iterator.next();
    if (next.done === true) break;
    beginning += next.value;
  }
  if (beginning.startsWith("PK\u0003\u0004") || beginning.slice(0, 1_000).includes("\0"))
    throw new CommandError("the file is not CSV: save it as CSV UTF-8");
  const named = hint.exec(beginning);
  const rest = beginning.slice(named?.[0].length ?? 0);
  const firstLine = rest.split(/[\r\n]/, 1)[0]!;
  const [frequent] = [",", ";", "\t"].toSorted((a, b) => firstLine.split(b).length - firstLine.split(a).length);
  async function* text(): AsyncGenerator<string> {
    yield rest;
    yield* { [Symbol.asyncIterator]: () => iterator };
  }
  return { text: text(), delimiter: named?.[1] ?? frequent!, line: named === null ? 1 : 2 };
}
