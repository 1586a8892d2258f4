import type { MessageInitShape } from "@bufbuild/protobuf";
import type { VariantSchema } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { compare, moneyFrom } from "@kontor/contracts/money.ts";
import { withDigest } from "@kontor/contracts/slug.ts";
import { readImage, readPrice, readWeight } from "./cells.ts";
import type { Read } from "./amounts.ts";
import type { Column } from "./columns.ts";
import type { DraftNeeds, Row } from "./draft-needs.ts";
import { fitted, lengthOf } from "./fitted.ts";
import { readStock } from "./read-stock.ts";
import type { ReadStock } from "./read-stock.ts";
import { skuLengthMax } from "./skus.ts";

/** A variant of one row; its SKU is "" where the file has none. */
export interface ReadVariant {
  readonly variant: MessageInitShape<typeof VariantSchema> & { readonly sku: string; readonly options: readonly string[] };
  readonly stock: ReadStock;
}

export interface VariantNeeds extends DraftNeeds {
  readonly handle: string;
  /** The columns of the product's options. */
  readonly options: readonly Column[];
  /** The lines of the choices that the product's variants so far have made. */
  readonly lineOfChoice: ReadonlyMap<string, number>;
}

/** How long the value of an option may be. */
export const optionValueMax = 255;
const barcodeMax = 255;
const optionValues: readonly Column[] = ["option1Value", "option2Value", "option3Value"];

/** Reads the variant of a row; undefined, and reported, when it cannot be sold so. The SKU is taken only by a row that is valid otherwise. */
export function readVariant(needs: VariantNeeds, row: Row): ReadVariant | undefined {
  const { columns, currency, numbers, skus, report, handle } = needs;
  const { line, cells } = row;
  const text = (column: Column): string => columns.of(cells, column);
  const reporter = (kind: "rejected" | "note") => (column: Column, message: string) => {
    report({ kind, line, handle, column: columns.label(column), message });
    return undefined;
  };
  const reject = reporter("rejected");
  const note = reporter("note");
  /** A detail that the variant can do without. */
  const detail = <Value>(column: Column, read: (text: string) => Read<Value>): Value | undefined => {
    const cell = text(column);
    if (cell === "") return undefined;
    const result = read(cell);
    return "value" in result ? result.value : note(column, `${result.problem}; it is left out`);
  };

  const choices = needs.options.map((column) => fitted(text(column), optionValueMax));
  const wrongChoice = choiceProblem(needs, choices, text);
  if (wrongChoice !== undefined) return reject(...wrongChoice);
  const price = readPrice(text("price"), currency, numbers);
  if ("problem" in price) return reject("price", price.problem);
  const sku = skuIn(text("sku"));
  const taken = sku === "" ? undefined : skus.take(sku, line);
  if (taken !== undefined) return reject("sku", `${sku} is on line ${taken} already`);

  for (const [at, column] of needs.options.entries())
    if (choices[at] !== text(column)) note(column, cutMessage(text(column), choices[at]!));
  if (sku !== "" && sku !== unquoted(text("sku"))) note("sku", `${skuProblem(text("sku"))} and is stored as ${sku}`);
  const before = detail("compareAtPrice", (cell) => readPrice(cell, currency, numbers));
  const image = detail("variantImage", readImage);
  const barcode = detail("barcode", (cell) =>
    lengthOf(unquoted(cell)) <= barcodeMax ? { value: unquoted(cell) } : { problem: `must have at most ${barcodeMax} characters` },
  );
  // Shopify's "grams" are grams, whatever unit it displays them in.
  const weightGrams =
    text("grams") === ""
      ? detail("weight", (cell) => readWeight(cell, text("weightUnit"), numbers))
      : detail("grams", (cell) => readWeight(cell, "g", numbers));
  return {
    variant: {
      sku,
      options: choices,
      price: price.value,
      ...(before !== undefined && compare(moneyFrom(before), moneyFrom(price.value)) > 0 && { compareAtPrice: before }),
      ...(barcode !== undefined && { barcode }),
      ...(weightGrams !== undefined && { weightGrams }),
      ...(image !== undefined && { image: { url: image } }),
    },
    stock: readStock(needs, row, handle),
  };
}

/** What is wrong with a variant's choice of the product's options, and in which column. */
function choiceProblem(
  { options, lineOfChoice }: VariantNeeds,
  choices: readonly string[],
  text: (column: Column) => string,
): [Column, string] | undefined {
  const missing = options.find((column) => text(column) === "");
  if (missing !== undefined) return [missing, "is missing"];
  const surplus = optionValues.find(
    (column) => !options.includes(column) && text(column) !== "" && text(column).toLowerCase() !== "default title",
  );
  if (surplus !== undefined) return [surplus, "has a value, but the product's first row does not name this option"];
  const other = lineOfChoice.get(JSON.stringify(choices));
  if (other === undefined) return undefined;
  return options.length === 0
    ? ["option1Value", `is missing: line ${other} is the product's only variant`]
    : [options[0]!, `is the choice of line ${other} already`];
}

/** Spreadsheets preserve a number's leading zeros with an apostrophe before it, and so do Shopify's exports. */
function unquoted(text: string): string {
  return text.replace(/^'/, "");
}

/** The SKU as Kontor takes it: without spaces and slashes, and of a long one its beginning with a digest of all of it. */
function skuIn(text: string): string {
  const sku = unquoted(text).replace(/[\s/]+/g, "-");
  return lengthOf(sku) <= skuLengthMax ? sku : `${fitted(sku, skuLengthMax - 9)}-${withDigest("", unquoted(text), 8)}`;
}

function skuProblem(text: string): string {
  return lengthOf(text) > skuLengthMax ? `has ${lengthOf(text)} characters, more than ${skuLengthMax},` : "cannot have spaces or slashes";
}

/** What a note says of a text of which only a part was taken. */
export function cutMessage(text: string, part: string): string {
  const length = lengthOf(text);
  return `has ${length.toLocaleString("en")} characters; the last ${(length - lengthOf(part)).toLocaleString("en")} are cut off`;
}
