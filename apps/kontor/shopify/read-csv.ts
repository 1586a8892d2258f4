/** A row of a CSV file, or what is wrong with it, at the line on which it begins (the first is 1). */
export type CsvRow = { readonly line: number; readonly cells: readonly string[] } | { readonly line: number; readonly problem: string };

/** No row of a catalogue is as long: a quote that is still open after this many characters was never closed. */
const recordLengthMax = 1_000_000;

/**
 * Reads rows from chunks of text as they come, holding no more than one row and one chunk. Accepts quoted line breaks, CRLF, and empty lines, which
 * it skips. A broken row never costs another: reading continues with the line after the one on which it began. A row with more cells than the first
 * one is broken when a surplus cell has content.
 *
 * Why no library: `docs/decisions/0024-csv-by-hand.md`.
 */
export async function* readCsv(chunks: AsyncIterable<string>, delimiter: string, firstLine = 1): AsyncGenerator<CsvRow> {
  let text = "";
  let line = firstLine;
  let width = 0;
  let lengthWanted = 0;
  for await (const chunk of withEnd(chunks)) {
    const last = chunk === undefined;
    text += chunk ?? "";
    if (text.length < lengthWanted && !last) continue;
    let at = 0;
    while (at < text.length) {
      const record = readRecord(text, at, { delimiter, last });
      if (record === undefined) break;
      const surplus = width > 0 && record.cells.slice(width).some((cell) => cell.trim() !== "");
      const problem = record.problem ?? (surplus ? `has ${record.cells.length} cells, the first row has ${width}` : undefined);
      if (problem !== undefined) {
        const next = lineEnd(text, at);
        if (next === undefined && !last) break;
        yield { line, problem };
        at = next ?? text.length;
        line++;
        continue;
      }
      if (record.cells.length > 1 || record.cells[0] !== "") {
        if (width === 0) width = record.cells.length;
        yield { line, cells: record.cells };
      }
      at = record.end;
      line += record.lines;
    }
    text = text.slice(at);
    // What is left continues in the next chunks. It is read again when there is twice as much of it: otherwise a long row in small chunks, or a long
    // broken line, would take quadratic time.
    lengthWanted = text.length * 2;
  }
}

interface CsvRecord {
  readonly cells: readonly string[];
  /** Where the next record begins. */
  readonly end: number;
  /** How many lines it takes up. */
  readonly lines: number;
  readonly problem?: string;
}

/** The record that begins at `start`; undefined when more text is needed to decide. */
function readRecord(
  text: string,
  start: number,
  { delimiter, last }: { readonly delimiter: string; readonly last: boolean },
): CsvRecord | undefined {
  const cells: string[] = [];
  let lines = 1;
  let at = start;
  for (;;) {
    let cell: string;
    if (text[at] === '"') {
      const close = closingQuote(text, at + 1);
      // A quote at the end of the chunk may be the first half of a doubled one.
      if (close === undefined || (close + 1 >= text.length && !last)) {
        if (!last && text.length - start <= recordLengthMax) return undefined;
        if (close === undefined) return { cells, end: start, lines, problem: "opens a quote that is not closed" };
      }
      cell = text.slice(at + 1, close);
      lines += breaksIn(cell);
      if (cell.includes('""')) cell = cell.replaceAll('""', '"');
      at = close + 1;
      if (at < text.length && text[at] !== delimiter && text[at] !== "\n" && text[at] !== "\r")
        return { cells, end: start, lines, problem: `has a quote inside of cell ${cells.length + 1} that is not doubled` };
    } else {
      const begin = at;
      while (at < text.length && text[at] !== delimiter && text[at] !== "\n" && text[at] !== "\r") at++;
      cell = text.slice(begin, at);
    }
    cells.push(cell);
    if (at >= text.length) return last ? { cells, end: at, lines } : undefined;
    if (text[at] === delimiter) {
      at++;
      if (at >= text.length && last) return { cells: [...cells, ""], end: at, lines };
      continue;
    }
    if (text[at] === "\r" && at + 1 >= text.length && !last) return undefined;
    return { cells, end: at + (text[at] === "\r" && text[at + 1] === "\n" ? 2 : 1), lines };
  }
}

/** The first quote from `at` on that is not one of a pair. */
function closingQuote(text: string, at: number): number | undefined {
  for (let quote = text.indexOf('"', at); quote >= 0; quote = text.indexOf('"', quote + 2)) if (text[quote + 1] !== '"') return quote;
  return undefined;
}

function breaksIn(cell: string): number {
  return cell.match(/\r\n|\n|\r/g)?.length ?? 0;
}

/** Where the line after that at `start` begins. */
function lineEnd(text: string, start: number): number | undefined {
  for (let at = start; at < text.length; at++) {
    if (text[at] === "\n") return at + 1;
    if (text[at] === "\r" && at + 1 < text.length) return text[at + 1] === "\n" ? at + 2 : at + 1;
  }
  return undefined;
}

/** The chunks, and undefined when there are no more. */
async function* withEnd(chunks: AsyncIterable<string>): AsyncGenerator<string | undefined> {
  yield* chunks;
  yield undefined;
}
