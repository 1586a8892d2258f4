import type { MessageInitShape } from "@bufbuild/protobuf";
import type { VariantSchema } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { compare, moneyFrom } from "@kontor/contracts/money.ts";
import { readImage, readPrice, readQuantity, readWeight } from "./cells.ts";
import type { Read } from "./cells.ts";
import type { Column } from "./columns.ts";
import type { DraftNeeds, Row } from "./product-draft.ts";

/** A variant of one row, with the units that it has; undefined where the file does not say how many. */
export interface ReadVariant {
  readonly variant: MessageInitShape<typeof VariantSchema> & { readonly sku: string; readonly options: readonly string[] };
  readonly onHand: number | undefined;
  /** Whether its SKU was made here. */
  readonly generated: boolean;
}

export interface VariantNeeds extends DraftNeeds {
  readonly handle: string;
  /** The columns of the product's options. */
  readonly options: readonly Column[];
  /** What the product's variants so far have chosen, and where. */
  readonly lineOfChoice: ReadonlyMap<string, number>;
}

const skuLengthMax = 100;
const optionValues: readonly Column[] = ["option1Value", "option2Value", "option3Value"];

/** Reads the variant of a row; undefined, and reported, when it cannot be sold so. The SKU is taken only by a row that is good otherwise. */
export function readVariant(
  { columns, currency, skus, report, handle, options, lineOfChoice }: VariantNeeds,
  { line, cells }: Row,
): ReadVariant | undefined {
  const text = (column: Column): string => columns.of(cells, column);
  const tell = (kind: "rejected" | "note") => (column: Column, message: string) => {
    report({ kind, line, handle, column: columns.label(column), message });
    return undefined;
  };
  const reject = tell("rejected");
  const note = tell("note");
  /** A detail that the variant can do without. */
  const detail = <Value>(column: Column, read: (text: string) => Read<Value>): Value | undefined => {
    const given = text(column);
    if (given === "") return undefined;
    const answer = read(given);
    return "value" in answer ? answer.value : note(column, `${answer.problem}; it is left out`);
  };

  const missing = options.find((column) => text(column) === "");
  if (missing !== undefined) return reject(missing, "is missing");
  const foreign = optionValues.find(
    (column) => !options.includes(column) && text(column) !== "" && text(column).toLowerCase() !== "default title",
  );
  if (foreign !== undefined) return reject(foreign, "is given, but the product's first row does not name this option");
  const choices = options.map(text);
  const twin = lineOfChoice.get(JSON.stringify(choices));
  if (twin !== undefined)
    return reject(
      options[0] ?? "option1Value",
      options.length === 0 ? `is missing: line ${twin} is the product's only variant` : `is the choice of line ${twin} already`,
    );
  const price = readPrice(text("price"), currency);
  if ("problem" in price) return reject("price", price.problem);
  const quantity = text("quantity") === "" ? undefined : readQuantity(text("quantity"));
  if (quantity !== undefined && "problem" in quantity) return reject("quantity", quantity.problem);
  const sku = givenSku(text("sku"));
  if (sku.length > skuLengthMax) return reject("sku", `must have at most ${skuLengthMax} characters`);
  const taken = sku === "" ? undefined : skus.take(sku, line);
  if (taken !== undefined) return reject("sku", `${sku} stands on line ${taken} already`);

  if (sku !== "" && sku !== unquoted(text("sku"))) note("sku", `cannot have spaces or slashes and is kept as ${sku}`);
  if (text("quantity").startsWith("-")) note("quantity", `${text("quantity")} is below zero and counts as 0`);
  const before = detail("compareAtPrice", (given) => readPrice(given, currency));
  const image = detail("variantImage", readImage);
  const barcode = detail("barcode", (given) =>
    given.length <= 101 ? { value: unquoted(given) } : { problem: "must have at most 100 characters" },
  );
  // Shopify's "grams" are grams, whatever unit it shows them in.
  const weightGrams =
    text("grams") === ""
      ? detail("weight", (given) => readWeight(given, text("weightUnit")))
      : detail("grams", (given) => readWeight(given, "g"));
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

/** Spreadsheets keep a number's leading zeros with an apostrophe before it, and Shopify's exports have it too. */
function unquoted(text: string): string {
  return text.replace(/^'/, "");
}

function givenSku(text: string): string {
  return unquoted(text).replace(/[\s/]+/g, "-");
}
