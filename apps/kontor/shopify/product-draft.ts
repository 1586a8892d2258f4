import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { ImportedProductSchema, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { ImportedProduct, ImageSchema } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { brokenRule } from "./catalogue-rules.ts";
import type { OptionColumns } from "./catalogue-rules.ts";
import { readBoolean, readImage } from "./cells.ts";
import type { Column, Columns } from "./columns.ts";
import type { DraftNeeds, Row } from "./draft-needs.ts";
import { readVariant } from "./read-variant.ts";
import type { ReadVariant } from "./read-variant.ts";

/** A product as catalog imports it, with the stock of its variants. */
export interface CatalogueEntry {
  readonly line: number;
  readonly product: ImportedProduct;
  readonly stock: readonly { readonly sku: string; readonly onHand: number }[];
  /** The line of each of its SKUs. */
  readonly lines: ReadonlyMap<string, number>;
  /** How many of its SKUs were generated, because the file had none. */
  readonly generatedSkus: number;
}

/** A product whose rows are still being read. */
export interface ProductDraft {
  readonly handle: string;
  readonly line: number;
  /** Adds a row: a variant, an image, or both. A row that cannot be imported is reported and left out. */
  add(row: Row): void;
  /** The product; undefined when nothing of it can be imported, which has been reported. */
  finish(): CatalogueEntry | undefined;
}

const variantsMax = 250;
const imagesMax = 250;
const variantColumns: readonly Column[] = ["sku", "price", "option1Value", "option2Value", "option3Value", "barcode"];

/** Begins a product with its first row, which alone says what the product is; variants and images may be in any row. */
export function beginProduct(needs: DraftNeeds, first: Row, handle: string): ProductDraft {
  const { columns } = needs;
  const { note, reject } = reportsOf(needs, handle);
  const options = optionColumns(columns, first);
  const variants: (ReadVariant & { readonly line: number })[] = [];
  const lineOfChoice = new Map<string, number>();
  const images = collectImages(columns, note);
  const untitled = columns.of(first.cells, "title") === "";
  if (untitled) reject(first.line, "title", "is missing in the first row of the product, which is left out with all its rows");

  const addVariant = (row: Row): void => {
    if (variants.length >= variantsMax)
      return reject(row.line, undefined, `is one more than the ${variantsMax} variants that a product can have`);
    const variant = readVariant({ ...needs, handle, options: options.map(({ value }) => value), lineOfChoice }, row);
    if (variant === undefined) return;
    lineOfChoice.set(JSON.stringify(variant.variant.options), row.line);
    variants.push({ ...variant, line: row.line });
  };
  const add = (row: Row): void => {
    if (untitled) return;
    images.add(row);
    if (row === first || variantColumns.some((column) => columns.of(row.cells, column) !== "")) addVariant(row);
  };
  add(first);
  return {
    handle,
    line: first.line,
    add,
    finish() {
      if (variants.length === 0) return undefined;
      const status = statusOf(columns, first, (column, message) => note(first.line, column, message));
      const product = productOf({ columns, first, handle, options, variants, images: images.sorted(), status });
      const broken = brokenRule(product, { columns, options });
      if (broken !== undefined) {
        const line = broken.variant === undefined ? first.line : variants[broken.variant]!.line;
        reject(line, broken.column, `${broken.message}; the product is left out`);
        return undefined;
      }
      return {
        line: first.line,
        product,
        stock: variants.flatMap(({ variant: { sku }, onHand }) => (onHand === undefined ? [] : [{ sku, onHand }])),
        lines: new Map(variants.map(({ variant, line }) => [variant.sku, line])),
        generatedSkus: variants.filter(({ generated }) => generated).length,
      };
    },
  };
}

type Note = (line: number, column: Column, message: string) => void;
type ImageInit = MessageInitShape<typeof ImageSchema>;

function reportsOf(
  { columns, report }: DraftNeeds,
  handle: string,
): { note: Note; reject(line: number, column: Column | undefined, message: string): void } {
  return {
    note: (line, column, message) => report({ kind: "note", line, handle, column: columns.label(column), message }),
    reject: (line, column, message) =>
      report({ kind: "rejected", line, handle, column: column === undefined ? "" : columns.label(column), message }),
  };
}

/** A product's images, each address once. */
function collectImages(columns: Columns, note: Note): { add(row: Row): void; sorted(): ImageInit[] } {
  const images = new Map<string, { readonly image: ImageInit; readonly position: number }>();
  return {
    add({ line, cells }) {
      const src = columns.of(cells, "image");
      if (src === "") return;
      const read = readImage(src);
      if ("problem" in read) return note(line, "image", `${read.problem}; the image is left out`);
      if (images.has(read.value)) return;
      if (images.size >= imagesMax)
        return note(line, "image", `is one more than the ${imagesMax} images that a product can have; it is left out`);
      const position = Number.parseInt(columns.of(cells, "imagePosition"), 10);
      const image = { url: read.value, alt: columns.of(cells, "imageAlt").slice(0, 500) };
      images.set(read.value, { image, position: Number.isNaN(position) ? Number.MAX_SAFE_INTEGER : position });
    },
    // Sorting is stable: images without a position stay in the order of their rows, after those with one.
    sorted: () => [...images.values()].toSorted((a, b) => a.position - b.position).map(({ image }) => image),
  };
}

interface ProductParts {
  readonly columns: Columns;
  readonly first: Row;
  readonly handle: string;
  readonly options: readonly OptionColumns[];
  readonly variants: readonly ReadVariant[];
  readonly images: ImageInit[];
  readonly status: ProductStatus;
}

function productOf({ columns, first, handle, options, variants, images, status }: ProductParts): ImportedProduct {
  const text = (column: Column): string => columns.of(first.cells, column);
  return create(ImportedProductSchema, {
    product: {
      handle,
      title: text("title"),
      descriptionHtml: text("description"),
      vendor: text("vendor"),
      tags: tagsIn(text("tags")),
      options: options.map(({ name }, at) => ({
        name: text(name),
        values: [...new Set(variants.map(({ variant }) => variant.options[at]!))],
      })),
      variants: variants.map(({ variant }) => variant),
      images,
      status,
    },
    categoryNames: categoryNames(columns, first),
  });
}

/** The columns of the options that the product has. "Title" with "Default Title" is how Shopify writes that it has none. */
function optionColumns(columns: Columns, { cells }: Row): OptionColumns[] {
  const all = [
    { name: "option1Name", value: "option1Value" },
    { name: "option2Name", value: "option2Value" },
    { name: "option3Name", value: "option3Value" },
  ] as const;
  const named = all.filter(({ name }) => columns.of(cells, name) !== "");
  const [only] = named;
  const none =
    named.length === 1 &&
    columns.of(cells, only!.name).toLowerCase() === "title" &&
    columns.of(cells, only!.value).toLowerCase() === "default title";
  return none ? [] : named;
}

/** The category; where the file has none, the type; where it has none either, the first tag. */
function categoryNames(columns: Columns, { cells }: Row): string[] {
  // Shopify's own categories are paths in its taxonomy: "Apparel & Accessories > Clothing > Shirts".
  const category = columns.of(cells, "category").split(">").at(-1)!.trim();
  const name =
    (category.toLowerCase() === "uncategorized" ? "" : category) ||
    columns.of(cells, "type") ||
    (tagsIn(columns.of(cells, "tags"))[0] ?? "");
  return name === "" ? [] : [name.slice(0, 100)];
}

function tagsIn(text: string): string[] {
  const tags = text.split(",").map((tag) => tag.trim());
  return [...new Set(tags.filter((tag) => tag !== ""))];
}

/** As the status says, and as a draft when it is not published. */
function statusOf(columns: Columns, { cells }: Row, note: (column: Column, message: string) => void): ProductStatus {
  const status = columns.of(cells, "status").toLowerCase();
  if (status === "archived") return ProductStatus.ARCHIVED;
  if (status === "draft") return ProductStatus.DRAFT;
  if (status !== "" && status !== "active") {
    note("status", `"${status.slice(0, 40)}" is none of active, draft and archived; the product is a draft`);
    return ProductStatus.DRAFT;
  }
  const published = columns.of(cells, "published");
  const isPublished = published === "" ? true : readBoolean(published);
  if (isPublished === undefined) note("published", `"${published.slice(0, 40)}" is neither true nor false; the product is a draft`);
  return isPublished === true ? ProductStatus.PUBLISHED : ProductStatus.DRAFT;
}
