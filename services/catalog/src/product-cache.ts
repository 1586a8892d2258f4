import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { ProductSchema } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { ListProductsResponse, Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Cache, Kept } from "@kontor/platform/cache/cache.ts";
import { takeTurns } from "./take-turns.ts";

const productKept: Kept<Product> = {
  ttlMs: 60_000,
  toJson: (product) => Buffer.from(toBinary(ProductSchema, product)).toString("base64"),
  fromJson: (text) => fromBinary(ProductSchema, Buffer.from(text as string, "base64")),
};
/** The lists' age: a name that all replicas know, and another one after each change. */
const ageKey = "products:lists";
const ageKept: Kept<string> = { ttlMs: 60_000 };
const listMs = 1_000;
const listsMax = 200;

/**
 * Products as shoppers see them, by id and by handle, and lists of them. Whoever reads when `forget` has resolved sees nothing that was before
 * it, in whichever replica; see the cache for when it is away. What is asked for many times at once is loaded once.
 */
export interface ProductCache {
  product(idOrHandle: string, load: () => Promise<Product | undefined>): Promise<Product | undefined>;
  /** A list, under a key that says which. */
  list(key: string, load: () => Promise<ListProductsResponse>): Promise<ListProductsResponse>;
  /**
   * These have changed; without any, only lists have. Called after the commit. Resolves when nobody reads them as they were before, nor
   * those that this process was told of earlier.
   */
  forget(products: readonly Pick<Product, "id" | "handle">[]): Promise<void>;
}

/** `failed` hears why something could not be forgotten. */
export function createProductCache(cache: Cache, failed: (error: unknown) => void): ProductCache {
  const lists = new Map<string, { readonly age: string; readonly answer: Promise<ListProductsResponse>; readonly untilMs: number }>();
  const inTurn = takeTurns<ListProductsResponse>();
  let forgotten = Promise.resolve();

  return {
    product: (idOrHandle, load) => cache.through(`product:${idOrHandle}`, productKept, load),
    list: async (key, load) => {
      // Known before the list is loaded: what changes from here on makes it another.
      const age = await cache.through(ageKey, ageKept, newAge);
      const nowMs = performance.now();
      const kept = lists.get(key);
      if (kept !== undefined && kept.age === age && nowMs < kept.untilMs) return kept.answer;
      if (lists.size >= listsMax) lists.clear();
      const answer = inTurn(key, load);
      lists.set(key, { age: age!, answer, untilMs: nowMs + listMs });
      answer.catch(() => lists.get(key)?.answer === answer && lists.delete(key));
      return answer;
    },
    forget: (products) => {
      const keys = products.flatMap(({ id, handle }) => [`product:${id}`, `product:${handle}`]);
      const before = forgotten;
      const deleted = cache.delete(ageKey, ...keys).catch(failed);
      return (forgotten = before.then(() => deleted));
    },
  };
}

async function newAge(): Promise<string> {
  return randomUUID();
}
