import { toBinary } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  CatalogService,
  CategorySchema,
  ImportProductsResponseSchema,
  ListProductsRequestSchema,
  ProductSchema,
  ProductStatus,
} from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { moneyTo } from "@kontor/contracts/money.ts";
import { decodeCursor, encodeCursor, pageSize } from "@kontor/platform/database/cursor.ts";
import type { Transaction } from "@kontor/platform/database/database.ts";
import { idempotent } from "@kontor/platform/database/idempotency.ts";
import type { ReadYourWrites } from "@kontor/platform/database/read-your-writes.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import type { Route } from "@kontor/platform/rpc/rpc.ts";
import type { SearchIndex } from "@kontor/platform/search/search.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { createCategory, deleteCategory, readCategories, readCategory, updateCategory } from "./category.ts";
import { importProducts } from "./import-products.ts";
import { listProducts } from "./list-products.ts";
import { newProduct, patched, withContent, withStatus } from "./product.ts";
import type { ChangeKind } from "./product.ts";
import type { ProductCache } from "./product-cache.ts";
import { findProduct, readProducts } from "./product-queries.ts";
import { checkCategories, findLocked, lockProduct, notFound, saveProducts } from "./product-store.ts";

type Needs = ServiceContext & { readonly index: SearchIndex; readonly products: ProductCache; readonly own: ReadYourWrites };

export function catalogRoute(needs: Needs): Route {
  const { database, clock, ids, events, products } = needs;
  const methods = CatalogService.method;
  const list = listProducts(needs);
  const newVariantId = () => ids.next("var");

  const current = async (tx: Transaction, id: string): Promise<Product> => (await readProducts(tx, [id]))[0]!;
  /** Stores one product's change; the cache forgets it after the commit. */
  const save = async (
    tx: Transaction,
    change: { kind: ChangeKind; before: Product | undefined; after: Product },
    call: Call,
  ): Promise<void> => {
    if (change.kind === "created" || change.kind === "updated") await checkCategories(tx, change.after);
    await saveProducts(needs, tx, [change], call);
    const { before, after } = change;
    tx.afterCommit(() => void products.forget(before === undefined ? [after] : [after, before]));
  };
  /**
   * Answers a change when no replica shows what was before. What is answered is forgotten once more: the answer may be kept from a first try,
   * whose process ended before it could say so.
   */
  const told = async <Answer>(changing: Promise<Answer>, changed: (answer: Answer) => readonly Product[]): Promise<Answer> => {
    const answer = await changing;
    await products.forget(changed(answer));
    return answer;
  };
  const changedProduct = (changing: Promise<Product>): Promise<Product> => told(changing, (product) => [product]);
  const changedLists = <Answer>(changing: Promise<Answer>): Promise<Answer> => told(changing, () => []);
  const setStatus =
    (id: string, version: number | undefined, status: ProductStatus, kind: ChangeKind, call: Call) => async (tx: Transaction) => {
      const before = await lockProduct(tx, id);
      expectVersion(before, version);
      const after = withStatus(before, status, clock.now());
      if (after !== undefined) await save(tx, { kind, before, after }, call);
      return current(tx, id);
    };

  return implement(CatalogService, {
    createCategory: (request, call) =>
      idempotent({
        database,
        clock,
        call,
        method: methods.createCategory,
        request,
        output: CategorySchema,
        work: (tx) => createCategory(needs, tx, request, call),
      }),
    getCategory: (request) => readCategory(database, request.category),
    listCategories: async (request) => {
      const limit = pageSize(request.limit);
      const after = decodeCursor(request.cursor, ["string", "number", "string", "string"]);
      const found = await readCategories(database, { parent: request.parent, after, limit: limit + 1 });
      const items = found.slice(0, limit);
      const last = items.at(-1);
      return {
        items,
        ...(found.length > limit && last && { nextCursor: encodeCursor([last.parent ?? "", last.position, last.name, last.id]) }),
      };
    },
    updateCategory: (request, call) =>
      changedLists(
        idempotent({
          database,
          clock,
          call,
          method: methods.updateCategory,
          request,
          output: CategorySchema,
          work: (tx) => {
            tx.afterCommit(() => void products.forget([])); // lists of the categories above it
            return updateCategory(needs, tx, request, call);
          },
        }),
      ),
    deleteCategory: async (request, call) => {
      await database.transaction((tx) => deleteCategory(needs, tx, request.category, call));
      return {};
    },
    createProduct: (request, call) =>
      changedProduct(
        idempotent({
          database,
          clock,
          call,
          method: methods.createProduct,
          request,
          output: ProductSchema,
          work: async (tx) => {
            const after = newProduct(request, { id: ids.next("prd"), newVariantId, at: clock.now() });
            await save(tx, { kind: "created", before: undefined, after }, call);
            return current(tx, after.id);
          },
        }),
      ),
    getProduct: async (request, call) => {
      const product = await products.product(request.product, () => findProduct(database, request.product));
      if (product === undefined || (product.status !== ProductStatus.PUBLISHED && !managesCatalogue(call))) throw notFound();
      return product;
    },
    listProducts: async (request, call) => {
      const status = statusFor(request.status, call);
      const key = `${status}:${Buffer.from(toBinary(ListProductsRequestSchema, request)).toString("base64url")}`;
      return products.list(key, () => list(request, status));
    },
    updateProduct: (request, call) =>
      changedProduct(
        idempotent({
          database,
          clock,
          call,
          method: methods.updateProduct,
          request,
          output: ProductSchema,
          work: async (tx) => {
            const before = await lockProduct(tx, request.product);
            expectVersion(before, request.version);
            const after = withContent(before, patched(before, request), { newVariantId, at: clock.now() });
            if (after !== undefined) await save(tx, { kind: "updated", before, after }, call);
            return current(tx, before.id);
          },
        }),
      ),
    deleteProduct: async (request, call) => {
      await changedLists(
        database.transaction(async (tx) => {
          const before = await findLocked(tx, request.product);
          if (before === undefined) return;
          await save(
            tx,
            { kind: "deleted", before, after: { ...before, version: before.version + 1, updatedAt: timestampFromDate(clock.now()) } },
            call,
          );
        }),
      );
      return {};
    },
    publishProduct: (request, call) =>
      changedProduct(
        idempotent({
          database,
          clock,
          call,
          method: methods.publishProduct,
          request,
          output: ProductSchema,
          work: setStatus(request.product, request.version, ProductStatus.PUBLISHED, "published", call),
        }),
      ),
    archiveProduct: (request, call) =>
      changedProduct(
        idempotent({
          database,
          clock,
          call,
          method: methods.archiveProduct,
          request,
          output: ProductSchema,
          work: setStatus(request.product, request.version, ProductStatus.ARCHIVED, "archived", call),
        }),
      ),
    getProductHistory: async (request) => {
      const history = request.product.startsWith("prd_") ? await events.history(database, request.product) : [];
      if (history.length === 0) throw notFound();
      return {
        items: history.map(({ version, type, at, actor, data }) => ({
          version,
          type,
          at: timestampFromDate(at),
          actor,
          product: (data as unknown as { product: Product }).product,
        })),
      };
    },
    priceLines: async ({ skus }) => {
      const rows = await database.rows<{ sku: string; product: string; variant: string; title: string; currency: string; price: bigint }>(
        sql`select v.sku, v.product, v.id as variant, v.title, v.currency, v.price from variants v join products p on p.id = v.product
          where v.sku = any(${skus}::text[]) and p.status = 'PUBLISHED'`,
      );
      const bySku = new Map(rows.map((row) => [row.sku, row]));
      return {
        variants: skus.flatMap((sku) => {
          const row = bySku.get(sku);
          if (row === undefined) return [];
          const { product, variant, title, currency, price } = row;
          return [{ sku, product, variant, title, price: moneyTo({ currency, minor: price }) }];
        }),
      };
    },
    importProducts: (request, call) =>
      changedLists(
        idempotent({
          database,
          clock,
          call,
          method: methods.importProducts,
          request,
          output: ImportProductsResponseSchema,
          work: async (tx) => {
            const { outcomes, changes } = await importProducts(needs, tx, request, call);
            tx.afterCommit(() => void products.forget(changes.map(({ after }) => after)));
            return { outcomes };
          },
        }),
      ),
  });
}

function managesCatalogue(call: Call): boolean {
  return call.hasRole("admin", "support");
}

/** Shoppers see what is published; those who manage the catalogue see what they ask for. */
function statusFor(asked: ProductStatus, call: Call): ProductStatus {
  if (managesCatalogue(call)) return asked;
  if (asked !== ProductStatus.PRODUCT_STATUS_UNSPECIFIED && asked !== ProductStatus.PUBLISHED)
    throw refuse({ reason: "PERMISSION_DENIED", code: "permission_denied", message: "You see published products only" });
  return ProductStatus.PUBLISHED;
}

function expectVersion(product: Product, version: number | undefined): void {
  if (version !== undefined && version !== product.version)
    throw refuse({
      reason: "VERSION_CONFLICT",
      code: "aborted",
      message: `The product is at version ${product.version}`,
      details: { version: product.version },
    });
}
