import type { ImportOutcome, ImportProductsRequest, Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { distinctSlug } from "@kontor/contracts/slug.ts";
import type { Transaction } from "@kontor/platform/database/database.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { categoriesByName } from "./category.ts";
import { invalid, newProduct, withContent } from "./product.ts";
import type { Circumstances, ProductContent } from "./product.ts";
import { existingCategories, lockProductsByHandle, ownersOfSkus, saveProducts } from "./product-store.ts";
import type { ProductChange } from "./product-store.ts";

const nameLengthMax = 255;
const handleLengthMax = 255;

type Outcome = Omit<ImportOutcome, "$typeName" | "$unknown">;

/** What an import decides about. */
interface Import {
  readonly contents: readonly ProductContent[];
  /** The names of the categories of each. */
  readonly names: readonly (readonly string[])[];
  /** The ids of categories by name. */
  readonly categories: ReadonlyMap<string, string>;
  /** The categories, by id, that exist. */
  readonly existing: ReadonlySet<string>;
  /** The products that exist, by handle. */
  readonly known: ReadonlyMap<string, Product>;
  /** Which product has which SKU. */
  readonly owners: ReadonlyMap<string, string>;
}

/**
 * Creates and updates products by their handles, each whole or not at all, all in one transaction. A SKU that a product of the import has until now
 * and no longer claims is free for the others, whatever their order. A variant whose SKU another product has, in the shop or earlier in the import, is
 * left out and reported; a product of which nothing is left is rejected.
 */
export async function importProducts(
  needs: Pick<ServiceContext, "events" | "clock" | "ids">,
  tx: Transaction,
  { products }: ImportProductsRequest,
  call: Call,
): Promise<{ outcomes: Outcome[]; changes: ProductChange[] }> {
  const contents = products.map(({ product }) => ({
    ...product!,
    handle: product!.handle === "" ? distinctSlug(product!.title, handleLengthMax) : product!.handle,
  }));
  const names = products.map(({ categoryNames }) => categoryNames.map((name) => name.trim()).filter((name) => name !== ""));
  const wanted = [...new Set(names.flat())].filter((name) => name.length <= nameLengthMax);
  const categories = await categoriesByName(needs, tx, wanted, call);
  const existing = await existingCategories(
    tx,
    contents.flatMap((content) => content.categories),
  );
  const locked = await lockProductsByHandle(
    tx,
    contents.map(({ handle }) => handle),
  );
  const known = new Map(locked.map((product) => [product.handle, product]));
  const owners = await ownersOfSkus(
    tx,
    contents.flatMap(({ variants }) => variants.map(({ sku }) => sku)),
  );
  const at = needs.clock.now();
  const { outcomes, changes } = decide({ contents, names, categories, existing, known, owners }, (prefix) => needs.ids.next(prefix), at);
  await saveProducts(needs, tx, changes, call);
  return { outcomes, changes };
}

/** Decides again while a product turns out to stay as it is, and so keeps SKUs that others were to have. Mostly that is once. */
function decide(import_: Import, newId: (prefix: "prd" | "var") => string, at: Date): { outcomes: Outcome[]; changes: ProductChange[] } {
  for (const staying = new Set<string>(); ;) {
    const { outcomes, changes } = decideOnce(import_, staying, newId, at);
    const rejected = outcomes.filter(({ outcome, handle }) => outcome === "REJECTED" && import_.known.has(handle) && !staying.has(handle));
    if (rejected.length === 0) return { outcomes, changes };
    for (const { handle } of rejected) staying.add(handle);
  }
}

function decideOnce(
  { contents, names, categories, existing, known, owners: ownersBefore }: Import,
  staying: ReadonlySet<string>,
  newId: (prefix: "prd" | "var") => string,
  at: Date,
): { outcomes: Outcome[]; changes: ProductChange[] } {
  const owners = new Map(ownersBefore);
  for (const sku of releasedSkus(contents, known, staying)) owners.delete(sku);
  const changes = new Map<string, ProductChange>();
  const outcomes = contents.map((content, nth): Outcome => {
    const { handle } = content;
    const before = changes.get(handle)?.after ?? known.get(handle);
    const id = before?.id ?? newId("prd");
    const free = content.variants.filter(({ sku }) => (owners.get(sku) ?? id) === id);
    const rejectedSkus = content.variants.map(({ sku }) => sku).filter((sku) => (owners.get(sku) ?? id) !== id);
    if (free.length === 0)
      return { handle, outcome: "REJECTED", reason: "SKU_TAKEN", message: "all its SKUs are another product's", rejectedSkus };
    try {
      const wanted = { ...content, variants: free, categories: categoriesOf(content, names[nth]!, { categories, existing }) };
      const after = contentChange(before, wanted, { id, newVariantId: () => newId("var"), at });
      for (const { sku } of before?.variants ?? []) if (owners.get(sku) === id) owners.delete(sku);
      for (const { sku } of free) owners.set(sku, id);
      if (after === undefined) return { handle, outcome: "UNCHANGED", reason: "", message: "", rejectedSkus };
      merge(changes, after, known.get(handle));
      return { handle, outcome: before === undefined ? "CREATED" : "UPDATED", reason: "", message: "", rejectedSkus };
    } catch (error) {
      const refusal = refusalIn(error);
      if (refusal === undefined) throw error;
      return { handle, outcome: "REJECTED", reason: refusal.reason, message: refusal.message, rejectedSkus };
    }
  });
  return { outcomes, changes: [...changes.values()] };
}

/** The SKUs that products of the import have until now, and no longer claim. */
function releasedSkus(contents: readonly ProductContent[], known: ReadonlyMap<string, Product>, staying: ReadonlySet<string>): string[] {
  const claimed = new Map<string, Set<string>>();
  for (const { handle, variants } of contents) {
    const skus = claimed.get(handle) ?? new Set();
    for (const { sku } of variants) skus.add(sku);
    claimed.set(handle, skus);
  }
  return [...claimed].flatMap(([handle, skus]) =>
    staying.has(handle) ? [] : (known.get(handle)?.variants ?? []).map(({ sku }) => sku).filter((sku) => !skus.has(sku)),
  );
}

/** The ids of a product's categories. Refuses with INVALID_REQUEST one that is not there, and a name that is too long. */
function categoriesOf(
  content: ProductContent,
  names: readonly string[],
  { categories, existing }: Pick<Import, "categories" | "existing">,
): string[] {
  const named = names.map(
    (name, at) => categories.get(name) ?? refuseCategory(`categoryNames[${at}]`, `must have at most ${nameLengthMax} characters`),
  );
  for (const [at, category] of content.categories.entries())
    if (!existing.has(category)) refuseCategory(`product.categories[${at}]`, "is not a category");
  return [...new Set([...content.categories, ...named])];
}

function contentChange(before: Product | undefined, wanted: ProductContent, circumstances: Circumstances): Product | undefined {
  return before === undefined ? newProduct(wanted, circumstances) : withContent(before, wanted, circumstances);
}

function refuseCategory(field: string, message: string): never {
  throw invalid([{ field, reason: "CATEGORY", message }]);
}

/** A handle that comes twice in one import is one change. */
function merge(changes: Map<string, ProductChange>, after: Product, before: Product | undefined): void {
  after.version = (before?.version ?? 0) + 1;
  changes.set(after.handle, { kind: before === undefined ? "created" : "updated", before, after });
}
