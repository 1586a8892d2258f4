import { distinctSlug } from "@kontor/contracts/slug.ts";
import { CommandError } from "../commands/command.ts";
import { findColumns } from "./columns.ts";
import type { Columns } from "./columns.ts";
import type { Report } from "./findings.ts";
import { beginProduct } from "./product-draft.ts";
import type { Row } from "./draft-needs.ts";
import type { CatalogueEntry, ProductDraft } from "./product-draft.ts";
import { readDialect } from "./dialect.ts";
import { readCsv } from "./read-csv.ts";
import { copied, createSkus } from "./skus.ts";

const handleLengthMax = 255;

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
 * Handles that differ in case only are one product's, as Shopify takes them. Throws `CommandError` when the file as a whole is not one of products.
 */
export async function* readShopifyProducts({ chunks, currency, report }: ReadOptions): AsyncGenerator<ReadProduct> {
  const skus = createSkus();
  const lineOfHandle = new Map<string, number>();
  let columns: Columns | undefined;
  let head: readonly string[] = [];
  let draft: (ProductDraft & { readonly written: string }) | undefined;

  const { text, delimiter, line: firstLine } = await readDialect(chunks);
  const numbers = { decimalComma: delimiter !== "," };
  for await (const row of readCsv(text, delimiter, firstLine)) {
    if ("problem" in row) {
      if (columns === undefined) throw new CommandError(`the file is not CSV: line ${row.line} ${row.problem}`);
      report({ kind: "rejected", line: row.line, handle: "", column: "", message: row.problem });
      continue;
    }
    if (columns === undefined) {
      head = row.cells;
      columns = columnsOf(head);
      continue;
    }
    const written = handleIn(row, { columns, head, currency, report });
    if (written === undefined) continue;
    const handle = draft?.written === written ? draft.handle : distinctSlug(written, handleLengthMax);
    if (draft?.handle === handle) {
      draft.add(row);
      continue;
    }
    if (draft !== undefined) yield finished(draft);
    draft = undefined;
    const column = columns.label("handle");
    const other = lineOfHandle.get(handle);
    if (other !== undefined) {
      const message = `the product of line ${other} has it, and the rows of a product must follow each other`;
      report({ kind: "rejected", line: row.line, handle, column, message });
      continue;
    }
    lineOfHandle.set(copied(handle), row.line);
    if (handle !== written) report({ kind: "note", line: row.line, handle, column, message: `"${written}" is stored as "${handle}"` });
    draft = { ...beginProduct({ columns, currency, numbers, skus, report }, row satisfies Row, handle), written };
  }
  if (columns === undefined) throw new CommandError("the file is empty");
  if (draft !== undefined) yield finished(draft);
}

/** The handle as a row has it; undefined, and reported, when the row is not one of the import. */
function handleIn(
  { line, cells }: Row,
  { columns, head, currency, report }: { columns: Columns; head: readonly string[]; currency: string; report: Report },
): string | undefined {
  const handle = columns.of(cells, "handle");
  const reject = (column: string, message: string): undefined => {
    report({ kind: "rejected", line, handle, column, message });
  };
  if (handle === "") return cells.some((cell) => cell.trim() !== "") ? reject(columns.label("handle"), "is missing") : undefined;
  const garbled = cells.findIndex((cell) => cell.includes("\uFFFD") || cell.includes("\0"));
  if (garbled >= 0) return reject(head[garbled] ?? "", "has characters that are not UTF-8: save the file as CSV UTF-8");
  const other = columns.of(cells, "currency");
  if (other === "" || other.toUpperCase() === currency) return handle;
  return reject(columns.label("currency"), `is ${other.slice(0, 20)}, and the import is in ${currency}`);
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

/** The currency that a file of products itself names, in the first row that has one; undefined when none has, or the file has no such column. */
export async function currencyIn(chunks: AsyncIterable<string>): Promise<string | undefined> {
  const { text, delimiter } = await readDialect(chunks);
  let columns: Columns | undefined;
  for await (const row of readCsv(text, delimiter)) {
    if ("problem" in row) continue;
    if (columns === undefined) {
      columns = columnsOf(row.cells);
      if (!columns.has("currency")) return undefined;
      continue;
    }
    const currency = columns.of(row.cells, "currency");
    if (currency !== "") return currency.toUpperCase();
  }
  return undefined;
}
