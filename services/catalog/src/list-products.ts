import { timestampDate } from "@bufbuild/protobuf/wkt";
import { ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { ListProductsRequest, Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { moneyFrom, MoneyError } from "@kontor/contracts/money.ts";
import { pageSize } from "@kontor/platform/database/cursor.ts";
import type { SearchIndex, SearchQuery } from "@kontor/platform/search/search.ts";
import type { Surroundings } from "@kontor/platform/service/service.ts";
import { withAvailability } from "./availability.ts";
import { withDescendants } from "./category.ts";
import { invalid } from "./product.ts";
import { readProducts } from "./product-store.ts";

type Needs = Pick<Surroundings, "database"> & { readonly index: SearchIndex };

/** What a list answers with. */
export interface ProductList {
  readonly items: Product[];
  readonly nextCursor?: string;
  readonly facets: Record<string, { values: { value: string; count: number }[] }>;
}

/** Finds products by words and filters. `status` has been decided by who asks. Refuses with INVALID_REQUEST and INVALID_CURSOR. */
export const listProducts =
  ({ database, index }: Needs) =>
  async (request: ListProductsRequest, status: ProductStatus): Promise<ProductList> => {
    const { q, cursor, category, tag, vendor } = request;
    const price = priceRange(request);
    const query: SearchQuery = {
      ...(q !== "" && { text: q }),
      ...(cursor !== "" && { cursor }),
      keywords: {
        ...(status !== ProductStatus.PRODUCT_STATUS_UNSPECIFIED && { status: [ProductStatus[status]] }),
        ...(category !== "" && { category: await withDescendants(database, category) }),
        ...(tag !== "" && { tag: [tag] }),
        ...(vendor !== "" && { vendor: [vendor] }),
      },
      ranges: {
        ...(price && { [`price:${request.currency}`]: price }),
        ...(request.createdAfter && { createdAt: { min: timestampDate(request.createdAfter).getTime() + 1 } }),
      },
      sort: sortOf(request),
      limit: pageSize(request.limit),
      ...(request.facets && { facets: ["category", "tag", "vendor"] }),
    };
    if (query.keywords?.["category"]?.length === 0) return { items: [], facets: {} };
    const found = await index.query(query);
    return {
      items: await withAvailability(database, await readProducts(database, found.ids)),
      ...(found.cursor !== undefined && { nextCursor: found.cursor }),
      facets: Object.fromEntries(Object.entries(found.facets).map(([name, values]) => [name, { values: [...values] }])),
    };
  };

function priceRange({ currency, priceMin, priceMax }: ListProductsRequest): { min?: number; max?: number } | undefined {
  if (priceMin === "" && priceMax === "") return undefined;
  if (currency === "") throw invalid([{ field: "currency", reason: "REQUIRED", message: "is needed with a price" }]);
  return {
    ...(priceMin !== "" && { min: minorOf(priceMin, currency, "priceMin") }),
    ...(priceMax !== "" && { max: minorOf(priceMax, currency, "priceMax") }),
  };
}

function minorOf(amount: string, currency: string, field: string): number {
  try {
    return Number(moneyFrom({ currency, amount }).minor);
  } catch (error) {
    if (error instanceof MoneyError) throw invalid([{ field, reason: "FORMAT", message: error.message }]);
    throw error;
  }
}

function sortOf({ sort, q, currency }: ListProductsRequest): SearchQuery["sort"] {
  if (sort === "") return q === "" ? [{ by: "createdAt", descending: true }] : [{ by: "relevance" }];
  return sort.split(",").map((part) => {
    const descending = part.startsWith("-");
    const by = descending ? part.slice(1) : part;
    if (by === "createdAt") return { by, descending };
    if (by === "price" && currency !== "") return { by: `price:${currency}`, descending };
    if (by === "price") throw invalid([{ field: "currency", reason: "REQUIRED", message: "is needed to sort by price" }]);
    if (by === "relevance" && q !== "" && !descending) return { by: "relevance" };
    throw invalid([{ field: "sort", reason: "NOT_ONE_OF", message: "takes price, createdAt, and relevance with q" }]);
  });
}
