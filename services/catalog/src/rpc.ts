import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { CatalogService, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { ReadYourWrites } from "@kontor/platform/database/read-your-writes.ts";
import { keyed } from "@kontor/platform/rpc/keyed.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import type { Implementation, Route } from "@kontor/platform/rpc/rpc.ts";
import type { SearchIndex } from "@kontor/platform/search/search.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { createCategory, deleteCategory, listCategories, readCategory, updateCategory } from "./category.ts";
import { productChanges } from "./change-product.ts";
import { importProducts } from "./import-products.ts";
import { createPriceLines } from "./price-lines.ts";
import type { ProductCache } from "./product-cache.ts";
import { notFound } from "./product-store.ts";
import { viewProduct, viewProducts } from "./view-product.ts";

type Needs = ServiceContext & { readonly index: SearchIndex; readonly products: ProductCache; readonly own: ReadYourWrites };

type Methods = Partial<Implementation<typeof CatalogService>>;

export function catalogRoute(needs: Needs): Route {
  return implement(CatalogService, {
    ...categoryMethods(needs),
    ...readingMethods(needs),
    ...changingMethods(needs),
  });
}

function categoryMethods(needs: Needs) {
  const { database, products } = needs;
  return {
    createCategory: keyed((request, call, tx) => createCategory(needs, tx, request, call)),
    getCategory: (request) => readCategory(database, request.category),
    listCategories: (request) => listCategories(database, request),
    updateCategory: keyed((request, call, tx, seen) => updateCategory(needs, tx, request, { call, seen }), listsChange(products)),
    deleteCategory: keyed(async (request, call, tx) => {
      await deleteCategory(needs, tx, request.category, call);
      return {};
    }),
  } satisfies Methods;
}

function readingMethods(needs: Needs) {
  const { database, events } = needs;
  const view = viewProduct(needs);
  const priceLines = createPriceLines(database);
  return {
    getProduct: (request, call) => view(request.product, call),
    listProducts: viewProducts(needs),
    getProductHistory: async (request) => {
      const history = request.product.startsWith("prd_") ? await events.history(database, request.product) : [];
      if (history.length === 0) throw notFound();
      return {
        items: history.map(({ version, type, at, actor, data }) => ({
          version,
          type,
          at: timestampFromDate(at),
          actor,
          // Every event of a product holds the product as it is after it.
          product: (data as unknown as { product: Product }).product,
        })),
      };
    },
    priceLines: async ({ skus }, call) => ({ variants: await priceLines(skus, call) }),
  } satisfies Methods;
}

function changingMethods(needs: Needs) {
  const { products } = needs;
  const change = productChanges(needs);
  // The product is forgotten once more before each reply: the process that stored the first one may have ended before it could forget.
  const productChange = { beforeReply: (product: Product) => products.forget([product]) };
  return {
    createProduct: keyed((request, call, tx) => change.create(tx, request, call), productChange),
    updateProduct: keyed((request, call, tx, seen) => change.update(tx, request, { call, seen }), productChange),
    publishProduct: keyed(
      (request, call, tx, seen) =>
        change.setStatus(tx, request.product, { status: ProductStatus.PUBLISHED, kind: "published" }, { call, seen }),
      productChange,
    ),
    archiveProduct: keyed(
      (request, call, tx, seen) =>
        change.setStatus(tx, request.product, { status: ProductStatus.ARCHIVED, kind: "archived" }, { call, seen }),
      productChange,
    ),
    deleteProduct: keyed(async (request, call, tx) => {
      await change.remove(tx, request.product, call);
      return {};
    }, listsChange(products)),
    importProducts: keyed(async (request, call, tx) => {
      const { outcomes, changes } = await importProducts(needs, tx, request, call);
      tx.afterCommit(() => void products.forget(changes.map(({ after }) => after)));
      return { outcomes };
    }, listsChange(products)),
  } satisfies Methods;
}

/** A change of lists, such as those of a category: the reply follows when no process shows the old ones. */
const listsChange = (products: ProductCache) => ({ beforeReply: () => products.forget([]) });
