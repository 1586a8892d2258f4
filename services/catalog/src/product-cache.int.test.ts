import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { compile } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import { openCatalog, simple } from "./test-catalog.ts";

/** Counts the statements that the catalogue sends by itself. */
function counted(context: TestContext, { hosted }: Awaited<ReturnType<typeof openCatalog>>): () => number {
  const { database } = hosted;
  const mocks = [
    context.mock.method(database, "rows"),
    context.mock.method(database, "maybe"),
    context.mock.method(database, "one"),
    context.mock.method(database, "transaction"),
  ];
  return () => mocks.reduce((sum, { mock }) => sum + mock.callCount(), 0);
}

const cheaper = { updateMask: { paths: ["variants"] }, variants: [{ sku: "a", price: { currency: "EUR", amount: "5.00" } }] };

describe("catalog: reads", { concurrency: 4 }, () => {
  it("CAT-08: a second read runs no statement; after a change none shows the old price", async (context) => {
    const app = await openCatalog();
    const { create, get, list, edge, admin, hosted, settle } = app;
    const { id: product, handle } = await create(simple("a"));
    await settle();
    await Promise.all([hosted.tasks.stop(), hosted.subscriptions.stop()]);
    const statements = counted(context, app);
    const prices = async () => {
      const all = [
        await get(product),
        await get(handle),
        (await list()).items[0],
        (await list({ limit: 1, currency: "EUR", sort: "price" })).items[0],
        (await list({ q: "product" })).items[0],
      ];
      return all.map((one) => one?.variants[0]?.price?.amount);
    };
    assert.deepEqual(
      await prices(),
      Array.from({ length: 5 }, () => "19.99"),
    );
    // One statement each; for words three more: stems, ids, and once in a process documents of an older version; where a list by price ends two more.
    assert.ok(statements() <= 10, `${statements()} statements`);
    const first = statements();
    assert.deepEqual(
      await prices(),
      Array.from({ length: 5 }, () => "19.99"),
    );
    assert.equal(statements(), first);
    await edge.updateProduct({ product, ...cheaper }, admin());
    assert.deepEqual(
      await prices(),
      Array.from({ length: 5 }, () => "5.00"),
    );
  });

  it("CAT-08: a read that began before a change leaves nothing old behind", async (context) => {
    const { create, get, list, edge, admin, hosted, settle } = await openCatalog();
    const { id: product } = await create(simple("a"));
    await settle();
    // From here on only the reads run statements.
    await Promise.all([hosted.tasks.stop(), hosted.subscriptions.stop()]);
    const held = Promise.withResolvers<void>();
    const { database } = hosted;
    const [maybe, rows] = [database.maybe.bind(database), database.rows.bind(database)];
    let loads = 0;
    const both = Promise.withResolvers<void>();
    const slow = async <T>(query: Sql, loading: Promise<T>): Promise<T> => {
      const loaded = await loading;
      if (!compile(query).text.includes("from products")) return loaded;
      if (++loads === 2) both.resolve();
      await held.promise;
      return loaded;
    };
    context.mock.method(database, "maybe", (query: Sql) => slow(query, maybe(query)));
    context.mock.method(database, "rows", (query: Sql) => slow(query, rows(query)));
    const early = Promise.all([get(product), list()]);
    await both.promise;
    context.mock.restoreAll();
    await edge.updateProduct({ product, ...cheaper }, admin());
    held.resolve();
    const [old, oldList] = await early;
    assert.deepEqual([old.variants[0]?.price?.amount, oldList.items[0]?.variants[0]?.price?.amount], ["19.99", "19.99"]);
    for (let again = 0; again < 2; again++) {
      assert.equal((await get(product)).variants[0]?.price?.amount, "5.00");
      assert.equal((await list()).items[0]?.variants[0]?.price?.amount, "5.00");
    }
  });

  it("CAT-08: a handle that goes from one product to another leads to the one that has it", async () => {
    const { create, get, edge, admin } = await openCatalog();
    const [one, other] = [await create(simple("a", { handle: "best" })), await create(simple("b", { handle: "second" }))];
    assert.equal((await get("best")).id, one.id);
    await edge.updateProduct({ product: one.id, updateMask: { paths: ["handle"] }, handle: "former" }, admin());
    await edge.updateProduct({ product: other.id, updateMask: { paths: ["handle"] }, handle: "best" }, admin());
    assert.deepEqual([(await get("best")).id, (await get("former")).id], [other.id, one.id]);
  });

  it("CAT-08: readers and a writer at the same time: nobody reads a price that is older than one whose change was confirmed before", async () => {
    const { create, get, list, edge, admin } = await openCatalog();
    const { id: product } = await create(simple("a"));
    let confirmed = 0;
    let writing = true;
    const read = async (take: () => Promise<string | undefined>) => {
      let reads = 0;
      while (writing || reads < 5) {
        const before = confirmed;
        const amount = Number(await take());
        assert.ok(before === 0 || amount >= before, `${amount} after ${before}`);
        reads++;
        await nextTurn();
      }
    };
    const readers = [
      read(async () => (await get(product)).variants[0]?.price?.amount),
      read(async () => (await list()).items[0]?.variants[0]?.price?.amount),
      read(async () => (await list({ currency: "EUR", sort: "price" })).items[0]?.variants[0]?.price?.amount),
    ];
    for (let amount = 20; amount < 60; amount++) {
      await edge.updateProduct(
        { product, updateMask: { paths: ["variants"] }, variants: [{ sku: "a", price: { currency: "EUR", amount: `${amount}` } }] },
        admin(),
      );
      confirmed = amount;
    }
    writing = false;
    await Promise.all(readers);
  });
});
