import { IndexProductsSchema } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import {
  ProductArchivedSchema,
  ProductCreatedSchema,
  ProductDeletedSchema,
  ProductPublishedSchema,
  ProductUpdatedSchema,
} from "@kontor/contracts/gen/kontor/catalog/v1/events_pb.js";
import {
  StockClaimedSchema,
  StockMovedSchema,
  StockReleasedSchema,
  StockReservedSchema,
} from "@kontor/contracts/gen/kontor/inventory/v1/events_pb.js";
import type { DeclaredQueue, DeclaredSubscription } from "@kontor/platform/service/service.ts";

/** Changes of stock, which are copied beside the products. */
export const stockEvents = {
  name: "catalog.availability",
  publisher: "inventory",
  schemas: [StockMovedSchema, StockReservedSchema, StockReleasedSchema, StockClaimedSchema],
} as const satisfies DeclaredSubscription;

/** The catalogue's own products, which the search index and the caches follow. */
export const productEvents = {
  name: "catalog.index",
  publisher: "catalog",
  schemas: [ProductCreatedSchema, ProductUpdatedSchema, ProductPublishedSchema, ProductArchivedSchema, ProductDeletedSchema],
} as const satisfies DeclaredSubscription;

/** Puts changed products into the search index. */
export const indexQueue = { name: "index-products", schema: IndexProductsSchema } as const satisfies DeclaredQueue;
/** Fills the search index with all products. */
export const rebuildQueue = { name: "rebuild-index", schema: IndexProductsSchema } as const satisfies DeclaredQueue;
