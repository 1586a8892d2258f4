import type { ImportOutcome, ImportProductsRequest, Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Transaction } from "@kontor/platform/database/database.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { categoriesByName } from "./category.ts";
import { invalid, newProduct, withContent } from "./product.ts";
import type { ProductContent } from "./product.ts";
import { existingCategories, lockProductsByHandle, ownersOfSkus, saveProducts } from "./product-store.ts";
import type { ProductChange } from "./product-store.ts";
import { slugOf } from "./slug.ts";

const nameLengthMax = 100;

type Outcome = Omit<ImportOutcome, "$typeName" | "$unknown">;

/**
 * Creates and updates products by their handles, each whole or not at all, all in one transaction. A variant whose SKU another product
 * has, in the shop or earlier in the import, is left out and reported; a product of which nothing is left is rejected.
 */
export async function importProducts(
  needs: Pick<ServiceContext, "events" | "clock" | "ids">,
  tx: Transaction,
  { products }: ImportProductsRequest,
  call: Call,
): Promise<{ outcomes: Outcome[]; changes: ProductChange[] }> {
  const at = needs.clock.now();
  const newVariantId = () => needs.ids.next("var");
  const contents = products.map(({ product }) => ({
    ...product!,
    handle: product!.handle === "" ? slugOf(product!.title) : product!.handle,
  }));
  const names = products.map(({ categoryNames }) => categoryNames.map((name) => name.trim()).filter((name) => name !== ""));
  const categories = await categoriesByName(
    needs,
    tx,
    [...new Set(names.flat())].filter((name) => name.length <= nameLengthMax),
    call,
  );
  const existing = await existingCategories(
    tx,
    contents.flatMap((content) => content.categories),
  );
  const known = new Map(
    (
      await lockProductsByHandle(
        tx,
        contents.map(({ handle }) => handle),
      )
    ).map((product) => [product.handle, product]),
  );
  const owners = await ownersOfSkus(
    tx,
    contents.flatMap(({ variants }) => variants.map(({ sku }) => sku)),
  );
  const changes = new Map<string, ProductChange>();
  const outcomes = contents.map((content, nth): Outcome => {
    const { handle } = content;
    const before = changes.get(handle)?.after ?? known.get(handle);
    const id = before?.id ?? needs.ids.next("prd");
    const free = content.variants.filter(({ sku }) => (owners.get(sku) ?? id) === id);
    const rejectedSkus = content.variants.map(({ sku }) => sku).filter((sku) => (owners.get(sku) ?? id) !== id);
    if (free.length === 0)
      return { handle, outcome: "REJECTED", reason: "SKU_TAKEN", message: "all its SKUs are another product's", rejectedSkus };
    try {
      const named = names[nth]!.map(
        (name, at) => categories.get(name) ?? refuseCategory(`categoryNames[${at}]`, `must have at most ${nameLengthMax} characters`),
      );
      for (const [at, category] of content.categories.entries())
        if (!existing.has(category)) refuseCategory(`product.categories[${at}]`, "is not a category");
      const wanted: ProductContent = { ...content, variants: free, categories: [...new Set([...content.categories, ...named])] };
      const after = before === undefined ? newProduct(wanted, { id, newVariantId, at }) : withContent(before, wanted, { newVariantId, at });
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
  const all = [...changes.values()];
  await saveProducts(needs, tx, all, call);
  return { outcomes, changes: all };
}

function refuseCategory(field: string, message: string): never {
  throw invalid([{ field, reason: "CATEGORY", message }]);
}

/** A handle that comes twice in one import is one change. */
function merge(changes: Map<string, ProductChange>, after: Product, before: Product | undefined): void {
  after.version = (before?.version ?? 0) + 1;
  changes.set(after.handle, { kind: before === undefined ? "created" : "updated", before, after });
}
