import type { MessageInitShape } from "@bufbuild/protobuf";
import type { VariantSchema } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { compare, moneyFrom } from "@kontor/contracts/money.ts";
import { readImage, readPrice, readQuantity, readWeight } from "./cells.ts";
import type { Read } from "./cells.ts";
import type { Column } from "./columns.ts";
import type { DraftNeeds, Row } from "./draft-needs.ts";

/** A variant of one row, with the units that it has; undefined where the file does not say how many. */
export interface ReadVariant {
  readonly variant: MessageInitShape<typeof VariantSchema> & { readonly sku: string; readonly options: readonly string[] };
  readonly onHand: number | undefined;
  /** Whether its SKU was generated. */
  readonly generated: boolean;
}

export interface VariantNeeds extends DraftNeeds {
  readonly handle: string;
  /** The columns of the product's options. */
  readonly options: readonly Column[];
  /** The lines of the choices that the product's variants so far have made. */
  readonly lineOfChoice: ReadonlyMap<string, number>;
}

const skuLengthMax = 100;
const optionValues: readonly Column[] = ["option1Value", "option2Value", "option3Value"];

/** Reads the variant of a row; undefined, and reported, when it cannot be sold so. The SKU is taken only by a row that is valid otherwise. */
export function readVariant(needs: VariantNeeds, row: Row): ReadVariant | undefined {
  const { columns, currency, skus, report, handle } = needs;
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

  const choices = needs.options.map(text);
  const wrongChoice = choiceProblem(needs, choices, text);
  if (wrongChoice !== undefined) return reject(...wrongChoice);
  const price = readPrice(text("price"), currency);
  if ("problem" in price) return reject("price", price.problem);
  const quantity = text("quantity") === "" ? undefined : readQuantity(text("quantity"));
  if (quantity !== undefined && "problem" in quantity) return reject("quantity", quantity.problem);
  const sku = skuIn(text("sku"));
  if (sku.length > skuLengthMax) return reject("sku", `must have at most ${skuLengthMax} characters`);
  const taken = sku === "" ? undefined : skus.take(sku, line);
  if (taken !== undefined) return reject("sku", `${sku} is on line ${taken} already`);

  if (sku !== "" && sku !== unquoted(text("sku"))) note("sku", `cannot have spaces or slashes and is stored as ${sku}`);
  if (text("quantity").startsWith("-")) note("quantity", `${text("quantity")} is below zero and counts as 0`);
  const before = detail("compareAtPrice", (cell) => readPrice(cell, currency));
  const image = detail("variantImage", readImage);
  const barcode = detail("barcode", (cell) =>
    cell.length <= 101 ? { value: unquoted(cell) } : { problem: "must have at most 100 characters" },
  );
  // Shopify's "grams" are grams, whatever unit it displays them in.
  const weightGrams =
    text("grams") === ""
      ? detail("weight", (cell) => readWeight(cell, text("weightUnit")))
      : detail("grams", (cell) => readWeight(cell, "g"));
  return {
    variant: {
      sku: sku === "" ? skus.make(handle, choices, line) : sku,
      options: choices,
      price: price.value,
      ...(before !== undefined && compare(moneyFrom(before), moneyFrom(price.value)) > 0 && { compareAtPrice: before }),
      ...(barcode !== undefined && { barcode }),
      ...(weightGrams !== undefined && { weightGrams }),
      ...(image !== undefined && { image: { url: image } }),
    },
    onHand: quantity?.value,
    generated: sku === "",
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

function skuIn(text: string): string {
  return unquoted(text).replace(/[\s/]+/g, "-");
}
