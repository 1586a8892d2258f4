import { CommandError } from "../commands/command.ts";
import { findColumns } from "./columns.ts";
import type { Columns } from "./columns.ts";
import type { Report } from "./findings.ts";
import { beginProduct } from "./product-draft.ts";
import type { Row } from "./draft-needs.ts";
import type { CatalogueEntry, ProductDraft } from "./product-draft.ts";
import { readCsv } from "./read-csv.ts";
import { copied, createSkus, shortened, slug } from "./skus.ts";

export interface ReadOptions {
  /** The file's text, in pieces of any size. */
  readonly chunks: AsyncIterable<string>;
  readonly currency: string;
  readonly report: Report;
}

/** A product of the file; without an entry when nothing of it can be imported. */
export interface ReadProduct {
  readonly handle: string;
  readonly entry: CatalogueEntry | undefined;
}

/**
 * Reads the products of a CSV file of Shopify, one after the other: of the whole file it remembers handles and SKUs only. What cannot be imported is
 * reported with its line and never stops the rest. A product's rows must follow each other; rows of a handle that comes again later are rejected.
 * Throws `CommandError` when the file as a whole is not one of products.
 */
export async function* readShopifyProducts({ chunks, currency, report }: ReadOptions): AsyncGenerator<ReadProduct> {
  const skus = createSkus();
  const lineOfHandle = new Map<string, number>();
  let columns: Columns | undefined;
  let head: readonly string[] = [];
  let draft: (ProductDraft & { readonly written: string }) | undefined;
  const reject = (line: number, handle: string, column: string, message: string): void =>
    report({ kind: "rejected", line, handle, column, message });

  const { text, delimiter } = await withDelimiter(chunks);
  for await (const row of readCsv(text, delimiter)) {
    if ("problem" in row) {
      if (columns === undefined) throw new CommandError(`the file is not CSV: line ${row.line} ${row.problem}`);
      reject(row.line, "", "", row.problem);
      continue;
    }
    if (columns === undefined) {
      head = row.cells;
      columns = columnsOf(head);
      continue;
    }
    const written = columns.of(row.cells, "handle");
    if (written === "") {
      if (row.cells.some((cell) => cell.trim() !== "")) reject(row.line, "", columns.label("handle"), "is missing");
      continue;
    }
    const garbled = row.cells.findIndex((cell) => cell.includes("\uFFFD"));
    if (garbled >= 0) {
      reject(row.line, written, head[garbled] ?? "", "has characters that are not UTF-8: save the file as CSV UTF-8");
      continue;
    }
    if (draft?.written === written) {
      draft.add(row);
      continue;
    }
    if (draft !== undefined) yield finished(draft);
    draft = undefined;
    const handle = handleOf(written);
    const other = lineOfHandle.get(handle);
    if (other !== undefined) {
      reject(
        row.line,
        handle,
        columns.label("handle"),
        `the product of line ${other} has it, and the rows of a product must follow each other`,
      );
      continue;
    }
    lineOfHandle.set(copied(handle), row.line);
    if (handle !== written)
      report({ kind: "note", line: row.line, handle, column: columns.label("handle"), message: `"${written}" is stored as "${handle}"` });
    draft = { ...beginProduct({ columns, currency, skus, report }, row satisfies Row, handle), written };
  }
  if (columns === undefined) throw new CommandError("the file is empty");
  if (draft !== undefined) yield finished(draft);
}

function finished(draft: ProductDraft): ReadProduct {
  return { handle: draft.handle, entry: draft.finish() };
}

function columnsOf(head: readonly string[]): Columns {
  const columns = findColumns(head);
  if (!("missing" in columns)) return columns;
  const names = columns.missing.map((name) => `"${name}"`).join(" and ");
  throw new CommandError(`the file's first line has no column ${names}: it is not a product export of Shopify`);
}

/** Lower case letters, digits and single dashes; a handle that is written so stays as it is. */
function handleOf(written: string): string {
  return /^[a-z0-9]+(-[a-z0-9]+)*$/.test(written) && written.length <= 255 ? written : shortened(slug(written), 255);
}

/** The delimiter: the most frequent one in the first line. Spreadsheets of some countries write semicolons. */
async function withDelimiter(chunks: AsyncIterable<string>): Promise<{ readonly text: AsyncIterable<string>; readonly delimiter: string }> {
  const iterator = chunks[Symbol.asyncIterator]();
  const first = await iterator.next();
  const beginning = first.done === true ? "" : first.value;
  if (beginning.includes("\0") || beginning.startsWith("PK\u0003\u0004"))
    throw new CommandError("the file is not CSV: save it as CSV UTF-8");
  const firstLine = beginning.split(/[\r\n]/, 1)[0]!;
  const [delimiter] = [",", ";", "\t"].toSorted((a, b) => firstLine.split(b).length - firstLine.split(a).length);
  async function* text(): AsyncGenerator<string> {
    yield beginning;
    yield* { [Symbol.asyncIterator]: () => iterator };
  }
  return { text: text(), delimiter: delimiter! };
}
