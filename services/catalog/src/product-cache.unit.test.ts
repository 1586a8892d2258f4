import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ListProductsResponseSchema, ProductSchema } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { createProductCache } from "./product-cache.ts";

function open() {
  const failures: unknown[] = [];
  return { products: createProductCache(createMemoryCache({ maxEntries: 100 }), (error) => failures.push(error)), failures };
}

const version = (nth: number) => create(ProductSchema, { id: "prd_1", handle: "shirt", version: nth });
const listOf = (nth: number) => create(ListProductsResponseSchema, { items: [version(nth)] });

describe("catalog: the product cache", () => {
  it("CAT-08: a product that changes while it is being loaded is not cached as it was", async () => {
    const { products } = open();
    const loading = Promise.withResolvers<ReturnType<typeof version>>();
    const early = products.product("shirt", () => loading.promise);
    await Promise.resolve();
    await products.forget([version(2)]);
    loading.resolve(version(1));
    assert.equal((await early)?.version, 1);
    assert.equal((await products.product("shirt", async () => version(2)))?.version, 2);
    assert.equal((await products.product("shirt", async () => version(3)))?.version, 2);
    await products.forget([version(3)]);
    assert.equal((await products.product("shirt", async () => version(3)))?.version, 3);
  });

  it("CAT-08: a call for a list after a change does not join calls from before it", async () => {
    const { products } = open();
    const loading = Promise.withResolvers<ReturnType<typeof listOf>>();
    const early = products.list("all", () => loading.promise);
    await products.forget([version(2)]);
    const late = products.list("all", async () => listOf(2));
    loading.resolve(listOf(1));
    assert.equal((await early).items[0]?.version, 1);
    assert.equal((await late).items[0]?.version, 2);
    assert.equal((await products.list("all", async () => listOf(3))).items[0]?.version, 2);
  });

  it("CAT-08: a list that many request at the same time is loaded once, and a failure is not cached", async () => {
    const { products } = open();
    let loads = 0;
    const failing = () => products.list("all", async () => Promise.reject(new Error(`failed ${++loads}`)));
    const outcomes = await Promise.allSettled([failing(), failing(), failing()]);
    assert.deepEqual([loads, ...outcomes.map(({ status }) => status)], [1, "rejected", "rejected", "rejected"]);
    assert.equal((await products.list("all", async () => listOf(1))).items.length, 1);
  });

  it("S16: holds so many lists and no more", async () => {
    const { products } = open();
    let loads = 0;
    const read = (key: string) => products.list(key, async () => (loads++, listOf(1)));
    await read("first");
    for (let at = 0; at < 1_000; at++) await read(`list ${at}`);
    await read("first");
    assert.equal(loads, 1_002);
  });
});
