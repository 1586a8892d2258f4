import { ImportedProductSchema } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { ImportedProduct } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { validatorOf } from "@kontor/platform/contract/validate.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { Column, Columns } from "./columns.ts";

/** The two columns of one of a product's options. */
export interface OptionColumns {
  readonly name: Column;
  readonly value: Column;
}

export interface BrokenRule {
  /** The column at fault; undefined when it is the product as a whole. */
  readonly column: Column | undefined;
  /** The variant at fault, by its position. */
  readonly variant: number | undefined;
  readonly message: string;
}

/** The first of catalog's rules that a product breaks. Checked before it is sent, because catalog would refuse all products of the request. */
export function brokenRule(
  product: ImportedProduct,
  layout: { readonly columns: Columns; readonly options: readonly OptionColumns[] },
): BrokenRule | undefined {
  try {
    validatorOf(ImportedProductSchema)(product);
    return undefined;
  } catch (error) {
    const refusal = refusalIn(error);
    if (refusal === undefined) throw error;
    const [first] = refusal.fields;
    const field = first?.field.replace(/^product\./, "") ?? "";
    const nth = /^variants\[(\d+)\]/.exec(field)?.[1];
    const column = columnOf(field, layout);
    const message = first?.message ?? refusal.message;
    return {
      column,
      variant: nth === undefined ? undefined : Number(nth),
      message: column === undefined ? `the product breaks a rule of the catalogue: ${message}` : message,
    };
  }
}

const columnOfField: Readonly<Record<string, Column>> = {
  title: "title",
  handle: "handle",
  descriptionHtml: "description",
  vendor: "vendor",
  tags: "tags",
  "images.url": "image",
  "images.alt": "imageAlt",
  "variants.sku": "sku",
  "variants.price": "price",
  "variants.compareAtPrice": "compareAtPrice",
  "variants.barcode": "barcode",
  "variants.image": "variantImage",
};

/** The column that a field such as `variants[3].options[1]` was read from. */
function columnOf(field: string, { columns, options }: { columns: Columns; options: readonly OptionColumns[] }): Column | undefined {
  const option = /^(?:variants\[\d+\]\.)?options\[(\d+)\](\.name)?/.exec(field);
  if (option !== null) return options[Number(option[1])]?.[option[2] === undefined ? "value" : "name"];
  if (field.startsWith("categoryNames")) return (["category", "type", "tags"] as const).find((column) => columns.has(column));
  if (/^variants\[\d+\]\.weightGrams/.test(field)) return columns.has("grams") ? "grams" : "weight";
  const [list = "", member = ""] = field.replaceAll(/\[\d+\]/g, "").split(".");
  return columnOfField[`${list}.${member}`] ?? columnOfField[list];
}
