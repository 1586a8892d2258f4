import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { describe, it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { StockPolicy } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { openCatalog, simple } from "./test-catalog.ts";

const eur = { currency: "EUR", amount: "1" };

describe("catalog: availability", { concurrency: 4 }, () => {
  it("INV-02, INV-07: inventory's figures are in every way to read a product, 2 s later at most, also where it was read before", async () => {
    const { create, get, list, publishStock, settle } = await openCatalog();
    const options = [{ name: "Size", values: ["S", "M", "L"] }];
    const { id } = await create(
      simple("a", {
        title: "Shirt",
        options,
        variants: ["S", "M", "L"].map((size) => ({ sku: `shirt-${size}`, options: [size], price: eur })),
      }),
    );
    await settle();
    const ways: readonly (() => Promise<readonly (number | undefined)[] | undefined>)[] = [
      async () => (await get(id)).variants.map(({ available }) => available),
      async () => (await get("shirt")).variants.map(({ available }) => available),
      async () => (await list()).items[0]?.variants.map(({ available }) => available),
      async () => (await list({ q: "shirt" })).items[0]?.variants.map(({ available }) => available),
    ];
    for (const read of ways) assert.deepEqual(await read(), [undefined, undefined, undefined]);
    for (const [version, available] of [7, 0, 4].entries()) {
      await publishStock({ sku: "shirt-S", available, version: version + 1 }, { sku: "unknown", available: 1, version: version + 1 });
      const publishedMs = performance.now();
      for (const read of ways) {
        while ((await read())?.[0] !== available) {
          assert.ok(performance.now() - publishedMs < 2_000, "not seen within two seconds");
          await nextTurn(); // what is read from the cache lets nothing else happen
        }
        assert.deepEqual(await read(), [available, undefined, undefined]);
      }
    }
  });

  it("INV-02, R18: of each SKU the newest figure holds, in whichever order they come", async () => {
    const { create, get, publishStock, settle } = await openCatalog();
    const { id } = await create(simple("a"));
    await publishStock(
      { sku: "a", available: 5, version: 5 },
      { sku: "a", available: 9, version: 9 },
      { sku: "a", available: 7, version: 7 },
    );
    await settle();
    assert.equal((await get(id)).variants[0]?.available, 9);
    await publishStock({ sku: "a", available: 8, version: 8 }, { sku: "a", available: 9, version: 9 });
    await settle();
    assert.equal((await get(id)).variants[0]?.available, 9);
    await publishStock({ sku: "a", available: 0, version: 10 });
    await settle();
    assert.equal((await get(id)).variants[0]?.available, 0);
  });

  it("INV-02: a figure that sets no limit is not shown, and carts are told of those that do", async () => {
    const { create, get, client, publishStock, settle } = await openCatalog();
    await create(simple("counted", { handle: "counted" }));
    await create(simple("owed", { handle: "owed" }));
    const both = async () => {
      await settle();
      const { variants } = await client.priceLines({ skus: ["counted", "owed"] }, testCall());
      const read = [await get("counted"), await get("owed")].map(({ variants: [variant] }) => variant?.available);
      assert.deepEqual(
        variants.map(({ available }) => available),
        read,
      );
      return read;
    };
    assert.deepEqual(await both(), [undefined, undefined]);
    await publishStock(
      { sku: "counted", available: 10, version: 1 },
      { sku: "owed", available: -3, version: 1, policy: StockPolicy.BACKORDER },
    );
    assert.deepEqual(await both(), [10, undefined]);
    await publishStock(
      { sku: "counted", available: 10, version: 2, policy: StockPolicy.NOT_COUNTED },
      { sku: "owed", available: -3, version: 2, policy: StockPolicy.COUNTED },
    );
    assert.deepEqual(await both(), [undefined, 0], "none can be ordered of what is owed");
  });

  it("INV-07: figures that came before their product are in it, in the responses to changes too, and change neither version nor events", async () => {
    const { create, edge, admin, publishStock, settle, hosted, get } = await openCatalog();
    await publishStock({ sku: "a", available: 3, version: 1 });
    await settle();
    const made = await create(simple("a"));
    assert.equal(made.variants[0]?.available, 3);
    await publishStock({ sku: "a", available: 2, version: 2 });
    await settle();
    const changed = await edge.updateProduct({ product: made.id, updateMask: { paths: ["vendor"] }, vendor: "V" }, admin());
    assert.deepEqual([changed.variants[0]?.available, changed.version], [2, 2]);
    assert.deepEqual(await get(made.id), changed);
    const { items } = await edge.getProductHistory({ product: made.id }, admin());
    assert.deepEqual(
      items.map(({ product }) => product?.variants[0]?.available),
      [undefined, undefined],
    );
    assert.equal((await hosted.log.history(hosted.database, made.id)).length, 2);
  });
});
