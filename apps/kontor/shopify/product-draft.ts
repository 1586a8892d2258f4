import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { ImportedProductSchema, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { ImportedProduct, ImageSchema } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { StockPolicy } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import type { ImportedStockSchema } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { brokenRule } from "./catalogue-rules.ts";
import type { OptionColumns } from "./catalogue-rules.ts";
import { readBoolean, readImage } from "./cells.ts";
import type { Column, Columns } from "./columns.ts";
import type { DraftNeeds, Row } from "./draft-needs.ts";
import { fitted } from "./fitted.ts";
import { cutMessage, readVariant } from "./read-variant.ts";
import type { ReadVariant } from "./read-variant.ts";
import { madeSkus } from "./skus.ts";

type ImportedStockInit = Exclude<MessageInitShape<typeof ImportedStockSchema>, { readonly $typeName: string }>;

/** A product as catalog imports it, with the stock of its variants. */
export interface CatalogueEntry {
  readonly line: number;
  readonly product: ImportedProduct;
  readonly stock: readonly ImportedStockInit[];
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

// Shopify's own limits, which catalog has too. What is longer is cut, or left out, with a note: it never costs the product.
const variantsMax = 2_048;
const imagesMax = 250;
const tagsMax = 250;
const textMax = 255;
const altMax = 512;
const descriptionMax = 524_288;
const variantColumns: readonly Column[] = ["sku", "price", "option1Value", "option2Value", "option3Value", "barcode"];

/** Begins a product with its first row, which alone says what the product is; variants and images may be in any row. */
export function beginProduct(needs: DraftNeeds, first: Row, handle: string): ProductDraft {
  const { columns } = needs;
  const { note, reject } = reportsOf(needs, handle);
  const options = optionColumns(columns, first);
  const variants: LinedVariant[] = [];
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
      const made = withSkus(needs, handle, variants);
      if (made.length === 0) return undefined;
      const status = statusOf(columns, first, (column, message) => note(first.line, column, message));
      const product = productOf({ columns, first, handle, options, variants: made, images: images.sorted(), status, note });
      const broken = brokenRule(product, { columns, options });
      if (broken !== undefined) {
        const line = broken.variant === undefined ? first.line : made[broken.variant]!.line;
        reject(line, broken.column, `${broken.message}; the product is left out`);
        return undefined;
      }
      return {
        line: first.line,
        product,
        stock: made.flatMap(({ variant, stock }) => stockOf(variant.sku, stock)),
        lines: new Map(made.map(({ variant, line }) => [variant.sku, line])),
        generatedSkus: variants.filter(({ variant }) => variant.sku === "").length,
      };
    },
  };
}

/** The variants with a SKU each. One whose made-up SKU is taken, which only another line's own can be, is rejected. */
function withSkus({ skus, columns, report }: DraftNeeds, handle: string, variants: readonly LinedVariant[]): LinedVariant[] {
  const without = variants.filter(({ variant }) => variant.sku === "");
  const made = new Map(
    madeSkus(
      handle,
      without.map(({ variant }) => variant.options),
    ).map((pair, at) => [without[at]!, pair]),
  );
  return variants.flatMap((one) => {
    const pair = made.get(one);
    if (pair === undefined) return [one];
    const sku = pair.find((candidate) => skus.take(candidate, one.line) === undefined);
    if (sku !== undefined) return [{ ...one, variant: { ...one.variant, sku } }];
    const message = `is missing, and the one that would be made, ${pair[0]}, is another line's`;
    report({ kind: "rejected", line: one.line, handle, column: columns.label("sku"), message });
    return [];
  });
}

function stockOf(sku: string, { onHand, policy }: ReadVariant["stock"]): ImportedStockInit[] {
  if (onHand === undefined && policy === StockPolicy.STOCK_POLICY_UNSPECIFIED) return [];
  const units = onHand === undefined ? { keepsUnits: true } : { onHand };
  return [{ sku, ...units, ...(policy !== StockPolicy.STOCK_POLICY_UNSPECIFIED && { policy }) }];
}

type LinedVariant = ReadVariant & { readonly line: number };
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
  const surplus: number[] = [];
  return {
    add({ line, cells }) {
      const src = columns.of(cells, "image");
      if (src === "") return;
      const read = readImage(src);
      if ("problem" in read) return note(line, "image", `${read.problem}; the image is left out`);
      if (images.has(read.value)) return;
      if (images.size >= imagesMax) return void surplus.push(line);
      const position = Number.parseInt(columns.of(cells, "imagePosition"), 10);
      const alt = columns.of(cells, "imageAlt");
      const image = { url: read.value, alt: fitted(alt, altMax) };
      if (image.alt !== alt) note(line, "imageAlt", cutMessage(alt, image.alt));
      images.set(read.value, { image, position: Number.isNaN(position) ? Number.MAX_SAFE_INTEGER : position });
    },
    // Sorting is stable: images without a position stay in the order of their rows, after those with one.
    sorted() {
      const [line] = surplus;
      if (line !== undefined)
        note(line, "image", `a product can have ${imagesMax} images; ${counted(surplus.length, "more image")} left out`);
      return [...images.values()].toSorted((a, b) => a.position - b.position).map(({ image }) => image);
    },
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
  readonly note: Note;
}

function productOf({ columns, first, handle, options, variants, images, status, note }: ProductParts): ImportedProduct {
  const cut = (column: Column, fit: (whole: string) => string): string => {
    const whole = columns.of(first.cells, column);
    const part = fit(whole);
    if (part !== whole) note(first.line, column, cutMessage(whole, part));
    return part;
  };
  const text = (column: Column): string => cut(column, (whole) => fitted(whole, textMax));
  return create(ImportedProductSchema, {
    product: {
      handle,
      title: text("title"),
      descriptionHtml: cut("description", fittedHtml),
      vendor: text("vendor"),
      tags: tagsOf(columns, first, note),
      options: options.map(({ name }, at) => ({
        name: text(name),
        values: [...new Set(variants.map(({ variant }) => variant.options[at]!))],
      })),
      variants: variants.map(({ variant }) => variant),
      images,
      status,
    },
    categoryNames: categoryNames(columns, first, note),
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
function categoryNames(columns: Columns, { line, cells }: Row, note: Note): string[] {
  // Shopify's own categories are paths in its taxonomy: "Apparel & Accessories > Clothing > Shirts".
  const category = columns.of(cells, "category").split(">").at(-1)!.trim();
  const column =
    category !== "" && category.toLowerCase() !== "uncategorized" ? "category" : columns.of(cells, "type") !== "" ? "type" : "tags";
  const name =
    column === "category" ? category : column === "type" ? columns.of(cells, "type") : (tagsIn(columns.of(cells, "tags"))[0] ?? "");
  const part = fitted(name, textMax);
  if (part !== name && column !== "tags") note(line, column, cutMessage(name, part));
  return part === "" ? [] : [part];
}

/** At most 250 tags of at most 255 characters. */
function tagsOf(columns: Columns, { line, cells }: Row, note: Note): string[] {
  const all = tagsIn(columns.of(cells, "tags"));
  const long = all.filter((tag) => fitted(tag, textMax) !== tag);
  if (long.length > 0) note(line, "tags", `${counted(long.length, "tag")} cut to ${textMax} characters`);
  const tags = [...new Set(all.map((tag) => fitted(tag, textMax)))];
  if (tags.length > tagsMax)
    note(line, "tags", `a product can have ${tagsMax} tags; ${counted(tags.length - tagsMax, "more tag")} left out`);
  return tags.slice(0, tagsMax);
}

/** A description as it is, or its beginning without half a tag at the end, which would take what follows it for its own. */
function fittedHtml(whole: string): string {
  const part = fitted(whole, descriptionMax);
  return part === whole ? whole : part.replace(/<[^<>]*$/, "");
}

/** "1 tag is", "3 tags are". */
function counted(count: number, what: string): string {
  return `${count.toLocaleString("en")} ${what}${count === 1 ? " is" : "s are"}`;
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
