import { create } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { ListProductsResponseSchema, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { ListProductsRequest, ListProductsResponse, Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { wholeMinor } from "@kontor/contracts/money.ts";
import { pageSize } from "@kontor/platform/database/cursor.ts";
import type { Reads } from "@kontor/platform/database/database.ts";
import type { ReadYourWrites } from "@kontor/platform/database/read-your-writes.ts";
import type { SearchIndex, SearchQuery, SearchResult } from "@kontor/platform/search/search.ts";
import { branchOf } from "./category.ts";
import { invalid } from "./product.ts";
import type { Filter, Order } from "./product-filter.ts";
import { readProductPage } from "./product-page.ts";
import { readProducts } from "./product-queries.ts";

interface Needs {
  readonly own: ReadYourWrites;
  readonly index: SearchIndex;
}

/** A quarter of what a message between processes may have, because characters have up to three bytes. */
const pageSizeMax = 4_000_000;

/** What lists show has changed. */
export const listsKey = "products";

/**
 * Finds products by words and filters. Without words the catalogue's own tables are read, so that a change is seen at once; words and facets are
 * the search index's. The caller's role has decided `status`. A page has fewer products than asked for where those are so large that a message could not
 * hold them. Refuses with INVALID_REQUEST and INVALID_CURSOR.
 */
export const listProducts = (needs: Needs) => {
  const list = listPage(needs);
  return async (request: ListProductsRequest, status: ProductStatus): Promise<ListProductsResponse> => {
    for (let limit = pageSize(request.limit); ;) {
      const page = await list({ ...request, limit }, status);
      const size = page.items.reduce((sum, product) => sum + sizeOf(product), 0);
      if (size <= pageSizeMax || page.items.length <= 1) return page;
      limit = Math.max(1, Math.floor((page.items.length * pageSizeMax) / size));
    }
  };
};

/** About how many characters a product has in a message. */
function sizeOf({ descriptionHtml, variants }: Product): number {
  return descriptionHtml.length + variants.length * 1_000;
}

const listPage =
  ({ own, index }: Needs) =>
  async (request: ListProductsRequest, status: ProductStatus): Promise<ListProductsResponse> => {
    const text = request.q.trim();
    const sort = sortOf(request, text !== "");
    const filter = filterOf(
      request,
      status,
      sort.filter((key) => key.by !== "relevance"),
    );
    const limit = pageSize(request.limit);
    const reads = await own.reads(listsKey);
    const search = async (query: Pick<SearchQuery, "text" | "cursor" | "sort" | "limit">) =>
      index.query({ ...(await searched(reads, filter)), ...query, ...(request.facets && { facets: ["category", "tag", "vendor"] }) });
    if (text === "") {
      const [page, found] = await Promise.all([
        readProductPage(reads, filter, request),
        request.facets ? search({ sort: [], limit: 0 }) : undefined,
      ]);
      return listResponse(page.items, page.nextCursor, found?.facets);
    }
    const found = await search({
      text,
      sort: sort.map((key) => (key.by === "price" ? { ...key, by: `price:${request.currency}` } : key)),
      limit,
      ...(request.cursor !== "" && { cursor: request.cursor }),
    });
    const items = await readProducts(reads, found.ids);
    // The index may not know yet that one is a draft again.
    return listResponse(
      filter.status === undefined ? items : items.filter((product) => product.status === status),
      found.cursor,
      found.facets,
    );
  };

function listResponse(
  items: readonly Product[],
  nextCursor: string | undefined,
  facets: SearchResult["facets"] = {},
): ListProductsResponse {
  return create(ListProductsResponseSchema, {
    items: [...items],
    ...(nextCursor !== undefined && { nextCursor }),
    facets: Object.fromEntries(Object.entries(facets).map(([name, values]) => [name, { values: [...values] }])),
  });
}

function filterOf(request: ListProductsRequest, status: ProductStatus, order: readonly Order[]): Filter {
  const { category, tag, vendor, currency, priceMin, priceMax, createdAfter } = request;
  if (currency === "" && (priceMin !== "" || priceMax !== ""))
    throw invalid([{ field: "currency", reason: "REQUIRED_WITH", message: "is needed with a price" }]);
  return {
    ...(status !== ProductStatus.PRODUCT_STATUS_UNSPECIFIED && { status: ProductStatus[status] }),
    ...(category !== "" && { category }),
    ...(tag !== "" && { tag }),
    ...(vendor !== "" && { vendor }),
    ...((priceMin !== "" || priceMax !== "") && {
      price: {
        min: priceMin === "" ? undefined : wholeMinor({ currency, amount: priceMin }, "up"),
        max: priceMax === "" ? undefined : wholeMinor({ currency, amount: priceMax }, "down"),
      },
    }),
    ...(createdAfter && { createdAfter: timestampDate(createdAfter) }),
    currency,
    order,
  };
}

/** The filter as the search index has it. */
async function searched(
  reads: Reads,
  { status, category, tag, vendor, price, currency, createdAfter }: Filter,
): Promise<Pick<SearchQuery, "keywords" | "ranges">> {
  return {
    keywords: {
      ...(status !== undefined && { status: [status] }),
      ...(category !== undefined && { category: await branchOf(reads, category) }),
      ...(tag !== undefined && { tag: [tag] }),
      ...(vendor !== undefined && { vendor: [vendor] }),
    },
    ranges: {
      ...(price !== undefined && {
        [`price:${currency}`]: {
          ...(price.min !== undefined && { min: Number(price.min) }),
          ...(price.max !== undefined && { max: Number(price.max) }),
        },
      }),
      ...(createdAfter !== undefined && { createdAt: { min: createdAfter.getTime() + 1 } }),
    },
  };
}

/** A field that comes again adds nothing. */
function sortOf({ sort, currency }: ListProductsRequest, words: boolean): readonly (Order | { readonly by: "relevance" })[] {
  if (sort === "") return words ? [{ by: "relevance" }] : [{ by: "createdAt", descending: true }];
  const keys = new Map<string, Order | { readonly by: "relevance" }>();
  for (const key of sort.split(",")) {
    const descending = key.startsWith("-");
    const by = descending ? key.slice(1) : key;
    if (by === "price" && currency === "")
      throw invalid([{ field: "currency", reason: "REQUIRED_WITH", message: "is needed to sort by price" }]);
    if (by === "relevance" && !words) throw invalid([{ field: "q", reason: "REQUIRED_WITH", message: "is needed to sort by relevance" }]);
    if (keys.has(by)) continue;
    if (by === "createdAt" || by === "price") keys.set(by, { by, descending });
    else keys.set("relevance", { by: "relevance" }); // the contract's pattern has no other
  }
  return [...keys.values()];
}
