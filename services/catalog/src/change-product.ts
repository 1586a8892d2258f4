import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { CreateProductRequest, Product, UpdateProductRequest } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Transaction } from "@kontor/platform/database/database.ts";
import type { SeenVersion } from "@kontor/platform/database/seen-version.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { newProduct, patched, withContent, withStatus } from "./product.ts";
import type { ProductCache } from "./product-cache.ts";
import { readProducts } from "./product-queries.ts";
import { checkCategories, findLocked, freeHandle, lockProduct, saveProducts } from "./product-store.ts";
import type { ProductChange } from "./product-store.ts";

type Needs = Pick<ServiceContext, "events" | "clock" | "ids"> & { readonly products: ProductCache };

/** A product's new status, and the event that says so. */
export interface StatusChange {
  readonly status: ProductStatus;
  readonly kind: "published" | "archived";
}

/** Who changes a product, and the version that they have seen. */
export interface Caller {
  readonly call: Call;
  readonly seen: SeenVersion;
}

/** Changes of one product, each within the caller's transaction: lock, decide, save, record. Each gives the product as it is afterwards. */
export interface ProductChanges {
  /** Without a handle it makes one that is free. Refuses as `newProduct` and `saveProducts` do. */
  create(tx: Transaction, request: CreateProductRequest, call: Call): Promise<Product>;
  /** Refuses with NOT_FOUND and VERSION_CONFLICT, and as `create` does. A change that changes nothing saves nothing. */
  update(tx: Transaction, request: UpdateProductRequest, caller: Caller): Promise<Product>;
  /** Refuses with NOT_FOUND and VERSION_CONFLICT. */
  setStatus(tx: Transaction, id: string, change: StatusChange, caller: Caller): Promise<Product>;
  /** Nothing happens when it is not there. */
  remove(tx: Transaction, id: string, call: Call): Promise<void>;
}

export function productChanges(needs: Needs): ProductChanges {
  const { clock, ids, products } = needs;
  const newVariantId = () => ids.next("var");
  const current = async (tx: Transaction, id: string): Promise<Product> => (await readProducts(tx, [id]))[0]!;

  /** Stores a change; the cache forgets the product after the commit. */
  async function save(tx: Transaction, change: ProductChange, call: Call): Promise<void> {
    const { kind, before, after } = change;
    if (kind === "created" || kind === "updated") await checkCategories(tx, after);
    await saveProducts(needs, tx, [change], call);
    tx.afterCommit(() => void products.forget(before === undefined ? [after] : [after, before]));
  }

  return {
    async create(tx, request, call) {
      const handle = request.handle === "" ? await freeHandle(tx, request.title) : request.handle;
      const after = newProduct({ ...request, handle }, { id: ids.next("prd"), newVariantId, at: clock.now() });
      await save(tx, { kind: "created", before: undefined, after }, call);
      return current(tx, after.id);
    },
    async update(tx, request, { call, seen }) {
      const before = await lockProduct(tx, request.product, seen);
      const content = patched(before, request);
      const handle = content.handle === "" ? await freeHandle(tx, content.title) : content.handle;
      const after = withContent(before, { ...content, handle }, { newVariantId, at: clock.now() });
      if (after !== undefined) await save(tx, { kind: "updated", before, after }, call);
      return current(tx, before.id);
    },
    async setStatus(tx, id, { status, kind }, { call, seen }) {
      const before = await lockProduct(tx, id, seen);
      const after = withStatus(before, status, clock.now());
      if (after !== undefined) await save(tx, { kind, before, after }, call);
      return current(tx, before.id);
    },
    async remove(tx, id, call) {
      const before = await findLocked(tx, id);
      if (before === undefined) return;
      const after = { ...before, version: before.version + 1, updatedAt: timestampFromDate(clock.now()) };
      await save(tx, { kind: "deleted", before, after }, call);
    },
  };
}
