import { toBinary } from "@bufbuild/protobuf";
import { ListProductsRequestSchema, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { ListProductsRequest, ListProductsResponse, Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Database } from "@kontor/platform/database/database.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { listProducts } from "./list-products.ts";
import type { ProductCache } from "./product-cache.ts";
import { findProduct } from "./product-queries.ts";
import { notFound } from "./product-store.ts";

type Needs = Parameters<typeof listProducts>[0] & { readonly database: Database; readonly products: ProductCache };

/** A product, by id or handle, through the cache. Refuses with NOT_FOUND, also for one that the caller may not see. */
export const viewProduct =
  ({ database, products }: Pick<Needs, "database" | "products">) =>
  async (idOrHandle: string, call: Call): Promise<Product> => {
    const product = await products.product(idOrHandle, () => findProduct(database, idOrHandle));
    if (product === undefined || (product.status !== ProductStatus.PUBLISHED && !managesCatalogue(call))) throw notFound();
    return product;
  };

/** A list of products that the caller may see, through the cache. Refuses with PERMISSION_DENIED, and as `listProducts` does. */
export const viewProducts = (needs: Needs) => {
  const list = listProducts(needs);
  return (request: ListProductsRequest, call: Call): Promise<ListProductsResponse> => {
    const status = visibleStatus(request.status, call);
    return needs.products.list(`${status}:${textOf(request)}`, () => list(request, status));
  };
};

/** Says everything that was asked for. JSON costs a third of protobuf's bytes in base64, but has no form for a time's seconds. */
function textOf(request: ListProductsRequest): string {
  return request.createdAfter === undefined
    ? JSON.stringify(request)
    : Buffer.from(toBinary(ListProductsRequestSchema, request)).toString("base64url");
}

/** Shoppers see what is published; those who manage the catalogue see what they ask for. */
function visibleStatus(requested: ProductStatus, call: Call): ProductStatus {
  if (managesCatalogue(call)) return requested;
  if (requested !== ProductStatus.PRODUCT_STATUS_UNSPECIFIED && requested !== ProductStatus.PUBLISHED)
    throw refuse({ reason: "PERMISSION_DENIED", code: "permission_denied", message: "You see published products only" });
  return ProductStatus.PUBLISHED;
}

const managesCatalogue = (call: Call): boolean => call.hasRole("admin", "support");
