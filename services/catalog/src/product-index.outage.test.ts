import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sql } from "@kontor/platform/database/sql.ts";
import { listTasks } from "@kontor/platform/tasks/admin.ts";
import { controlEngine } from "@kontor/platform/testing/engines.ts";
import { simple } from "./test-catalog.ts";
import { openSearchedCatalog } from "./test-search.ts";

/** A query that waits for OpenSearch gives up after 2 s; all that come after it do not wait. */
const firstMs = 3_500;
const laterMs = 1_500;

describe("catalog: search while OpenSearch is unavailable", () => {
  it("RES-04, R15: killed, PostgreSQL is searched; what was written meanwhile is in OpenSearch when it is back", async (t) => {
    const { create, edge, admin, find, settle, pass, hosted, search, openSearch, lines, probed } = await openSearchedCatalog();
    const shirt = await create(simple("a", { title: "Ocean Shirt" }));
    const cup = await create(simple("b", { title: "Cup" }));
    await settle();
    assert.deepEqual(await find("oceam shrit"), [shirt.id]);
    assert.equal(search.degraded, false);

    await controlEngine("kill", "opensearch");
    t.after(() => controlEngine("start", "opensearch"));
    assert.deepEqual(await timed(firstMs, () => find("oceam shrits")), [shirt.id]);
    assert.equal(search.degraded, true);
    const jacket = await timed(laterMs, () => create(simple("c", { title: "Jacket" })));
    await edge.updateProduct({ product: shirt.id, updateMask: { paths: ["title"] }, title: "Ocean Coat" }, admin());
    await edge.deleteProduct({ product: cup.id }, admin());
    await settle();
    for (const [q, ids] of [
      ["jackets", [jacket.id]],
      ["ocean coats", [shirt.id]],
      ["shirt", []],
      ["cup", []],
    ] as const)
      assert.deepEqual(await timed(laterMs, () => find(q)), ids, q);
    // It is tried again every few seconds, however long it takes, and never needs an operator.
    const waiting = async () =>
      (await listTasks(hosted.database, { state: "waiting", limit: 100 })).filter(({ queue }) => queue === "index-products");
    for (let time = 0; time < 30; time++) await pass(120_000);
    assert.ok((await waiting()).length > 0);
    assert.deepEqual(await listTasks(hosted.database, { state: "dead", limit: 100 }), []);

    await controlEngine("start", "opensearch");
    await probed();
    await pass(10_000);
    assert.deepEqual(await waiting(), []);
    const index = openSearch.of("catalog").index("products");
    assert.deepEqual((await index.query({ sort: [], limit: 10 })).ids, [shirt.id, jacket.id].toSorted());
    // Only OpenSearch can respond now.
    await hosted.database.run(sql`delete from search_documents`);
    assert.deepEqual([await find("jakcets"), await find("ocean coat"), await find("shirt")], [[jacket.id], [shirt.id], []]);
    assert.deepEqual(
      lines.filter((line) => line.startsWith("OpenSearch")),
      ["OpenSearch is unreachable; each request tries it again", "OpenSearch responds again"],
    );
  });

  it("RES-04: frozen, one query waits, and no other", async (t) => {
    const { create, find, settle, pass, search, probed, openSearch } = await openSearchedCatalog();
    const shirt = await create(simple("a", { title: "Ocean Shirt" }));
    await settle();
    assert.deepEqual(await find("shirts"), [shirt.id]);

    await controlEngine("stop", "opensearch");
    let frozen = true;
    const thaw = async (): Promise<void> => {
      if (frozen) await controlEngine("cont", "opensearch");
      frozen = false;
    };
    t.after(thaw);
    assert.deepEqual(await timed(firstMs, () => find("oceans")), [shirt.id]);
    for (const q of ["ocean", "ocaen", "shrit"]) assert.deepEqual(await timed(laterMs, () => find(q)), [shirt.id], q);
    const coat = await create(simple("b", { title: "Coat" }));
    await settle();
    assert.deepEqual(await timed(laterMs, () => find("coats")), [coat.id]);
    assert.equal(search.degraded, true);

    await thaw();
    await probed();
    await pass(10_000);
    assert.deepEqual((await openSearch.of("catalog").index("products").query({ text: "coat", sort: [], limit: 10 })).ids, [coat.id]);
  });
});

async function timed<T>(ms: number, work: () => Promise<T>): Promise<T> {
  const began = performance.now();
  const result = await work();
  const tookMs = performance.now() - began;
  assert.ok(tookMs < ms, `took ${tookMs} ms`);
  return result;
}
