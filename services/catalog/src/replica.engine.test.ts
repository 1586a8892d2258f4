import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import type { Cache } from "@kontor/platform/cache/cache.ts";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { openEngineDatabase } from "@kontor/platform/database/open-test-server-database.ts";
import { tableUse, untilReplicaReads } from "@kontor/platform/testing/table-use.ts";
import { openTestReplica } from "@kontor/platform/testing/test-replica.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { catalog } from "./service.ts";
import { shopper, simple } from "./test-catalog.ts";

/** Two processes on one database with a replica. What is written is known to both by the cache that they share, if they do. */
async function openBoth({ shared }: { readonly shared: boolean }) {
  const engine = await openEngineDatabase();
  const cache = () => createMemoryCache({ maxEntries: 1_000 });
  const first = cache();
  const open = (its: Cache) => openTestReplica(catalog, { registry: contracts, ...engine, cache: its });
  const processes = [await open(first), await open(shared ? first : cache())] as const;
  const [one, other] = processes.map(({ clientsFor }) => clientsFor("gateway").of("catalog", CatalogService));
  return { engine, processes, one: one!, other: other! };
}

const admin = () => testCall({ caller: "gateway", user: { id: "usr_admin", roles: ["admin"] } });

describe("catalog: lists with a replica", () => {
  it("CON-04: are read there, and products written at the primary only", async () => {
    const { engine, processes, one, other } = await openBoth({ shared: false });
    const { id } = await one.createProduct(simple("shirt"), admin());
    // What its sessions have done is counted when they end.
    await processes[0].stop();
    const before = await tableUse(engine, "products");
    await untilReplicaReads(processes[1].database);
    for (let limit = 1; limit <= 40; limit++)
      assert.deepEqual(
        (await other.listProducts({ limit }, shopper())).items.map((product) => product.id),
        [id],
      );
    await processes[1].stop();
    const after = await tableUse(engine, "products");
    // Each list reads the table twice: in its order, and the products that it shows.
    assert.equal(after.replica.reads - before.replica.reads, 2 * 40);
    assert.equal(after.primary.reads, before.primary.reads);
    assert.deepEqual([after.replica.writes, after.primary.writes > 0], [0, true]);
  });

  it("CON-04: show a change that was confirmed, in whichever process", async () => {
    const { processes, one, other } = await openBoth({ shared: true });
    await Promise.all(processes.map(({ database }) => untilReplicaReads(database)));
    const { id: product } = await one.createProduct(simple("shirt"), admin());
    for (let round = 1; round <= 20; round++) {
      const [here, there] = round % 2 === 0 ? [one, other] : [other, one];
      await here.updateProduct({ product, updateMask: { paths: ["title"] }, title: `Shirt ${round}` }, admin());
      for (const reader of [there, here])
        assert.equal((await reader.listProducts({ limit: 5 }, shopper())).items[0]?.title, `Shirt ${round}`);
    }
  });
});
