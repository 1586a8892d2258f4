import type { Finding } from "./findings.ts";
import { readShopifyProducts } from "./read-products.ts";
import type { ReadProduct } from "./read-products.ts";

async function* only(text: string): AsyncGenerator<string> {
  yield text;
}

/** What comes of a text, for tests: products, and what was reported of them as line, column and message. */
export async function readTestFile(text: string, currency = "EUR") {
  const findings: Finding[] = [];
  const products: ReadProduct[] = [];
  for await (const product of readShopifyProducts({ chunks: only(text), currency, report: (finding) => findings.push(finding) }))
    products.push(product);
  const entries = products.flatMap(({ entry }) => entry ?? []);
  return {
    entries,
    /** Of the first product, or of the one with this handle. */
    product: (handle = products[0]?.handle) => entries.find(({ product }) => product.product?.handle === handle)!.product.product!,
    lost: products.flatMap(({ handle, entry }) => (entry === undefined ? [handle] : [])),
    rejected: findings.flatMap(({ kind, line, column, message }) => (kind === "rejected" ? [[line, column, message]] : [])),
    notes: findings.flatMap(({ kind, line, column, message }) => (kind === "note" ? [[line, column, message]] : [])),
  };
}

/** A file with just these columns; Handle, Title and Variant Price stand before them. */
export function testFile(columns: readonly string[], ...rows: readonly (readonly string[])[]): string {
  const cell = (text: string) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return [["Handle", "Title", "Variant Price", ...columns], ...rows].map((row) => row.map(cell).join(",")).join("\n");
}

/** Sorts lists by what they read like. */
export function byText(one: readonly unknown[], other: readonly unknown[]): number {
  return JSON.stringify(one) < JSON.stringify(other) ? -1 : 1;
}
