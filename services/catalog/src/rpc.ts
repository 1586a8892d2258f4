import { toBinary } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { CatalogService, ListProductsRequestSchema, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { ArchiveProductRequest, Product, PublishProductRequest } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { moneyTo } from "@kontor/contracts/money.ts";
import { decodeCursor, encodeCursor, pageSize } from "@kontor/platform/database/cursor.ts";
import type { Transaction } from "@kontor/platform/database/database.ts";
import type { OwnWrites } from "@kontor/platform/database/own-writes.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { keyed } from "@kontor/platform/rpc/keyed.ts";
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
  // A change is replied when no replica of this service shows the old state. The product is forgotten once more for that: the reply may be
  // a repeat's, and the process that stored it may have ended before it could forget.
  const productChanges = { beforeReply: (product: Product) => products.forget([product]) };
  const listsChange = { beforeReply: () => products.forget([]) };
  const setStatus =
    (status: ProductStatus, kind: ChangeKind) =>
    async (request: PublishProductRequest | ArchiveProductRequest, call: Call, tx: Transaction): Promise<Product> => {
      const before = await lockProduct(tx, request.product);
      expectVersion(before, request.version);
      const after = withStatus(before, status, clock.now());
      if (after !== undefined) await save(tx, { kind, before, after }, call);
      return current(tx, before.id);
    };

  return implement(CatalogService, {
    createCategory: keyed((request, call, tx) => createCategory(needs, tx, request, call)),
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
    // Lists of the categories above it change too.
    updateCategory: keyed((request, call, tx) => updateCategory(needs, tx, request, call), listsChange),
    deleteCategory: async (request, call) => {
      await database.transaction((tx) => deleteCategory(needs, tx, request.category, call));
      return {};
    },
    createProduct: keyed(async (request, call, tx) => {
      const after = newProduct(request, { id: ids.next("prd"), newVariantId, at: clock.now() });
      await save(tx, { kind: "created", before: undefined, after }, call);
      return current(tx, after.id);
    }, productChanges),
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
    updateProduct: keyed(async (request, call, tx) => {
      const before = await lockProduct(tx, request.product);
      expectVersion(before, request.version);
      const after = withContent(before, patched(before, request), { newVariantId, at: clock.now() });
      if (after !== undefined) await save(tx, { kind: "updated", before, after }, call);
      return current(tx, before.id);
    }, productChanges),
    deleteProduct: async (request, call) => {
      await database.transaction(async (tx) => {
        const before = await findLocked(tx, request.product);
        if (before === undefined) return;
        await save(
          tx,
          { kind: "deleted", before, after: { ...before, version: before.version + 1, updatedAt: timestampFromDate(clock.now()) } },
          call,
        );
      });
      await products.forget([]);
      return {};
    },
    publishProduct: keyed(setStatus(ProductStatus.PUBLISHED, "published"), productChanges),
    archiveProduct: keyed(setStatus(ProductStatus.ARCHIVED, "archived"), productChanges),
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
    importProducts: keyed(async (request, call, tx) => {
      const { outcomes, changes } = await importProducts(needs, tx, request, call);
      tx.afterCommit(() => void products.forget(changes.map(({ after }) => after)));
      return { outcomes };
    }, listsChange),
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
