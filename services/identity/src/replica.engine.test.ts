import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import type { Cache } from "@kontor/platform/cache/cache.ts";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { openEngineDatabase } from "@kontor/platform/database/open-test-server-database.ts";
import { tableUse, untilReplicaReads } from "@kontor/platform/testing/table-use.ts";
import { openTestReplica } from "@kontor/platform/testing/test-replica.ts";
import { identity } from "./service.ts";
import { edgeCall } from "./test-identity.ts";

const password = "a good password";

/** Two processes on one database with a replica. What is written is known to both by the cache that they share, if they do. */
async function openBoth({ shared }: { readonly shared: boolean }) {
  const engine = await openEngineDatabase();
  const cache = () => createMemoryCache({ maxEntries: 1_000 });
  const first = cache();
  const open = (its: Cache) => openTestReplica(identity, { registry: contracts, ...engine, cache: its });
  const processes = [await open(first), await open(shared ? first : cache())] as const;
  const [one, other] = processes.map(({ clientsFor }) => clientsFor("test").of("identity", IdentityService));
  return { engine, processes, one: one!, other: other! };
}

describe("identity: accounts and sessions with a replica", () => {
  it("CON-04: are read there, and written at the primary only", async () => {
    const { engine, processes, one, other } = await openBoth({ shared: false });
    const account = await one.createAccount({ email: "ann@shop.test", password, name: "Ann", roles: ["support"] }, edgeCall());
    await one.login({ email: "ann@shop.test", password }, edgeCall());
    // What its sessions have done is counted when they end.
    await processes[0].stop();
    const before = await tableUse(engine, "accounts");
    await untilReplicaReads(processes[1].database);
    for (let round = 0; round < 40; round++) assert.equal((await other.getMe({}, edgeCall({ id: account.id }))).email, "ann@shop.test");
    assert.equal((await other.listSessions({}, edgeCall({ id: account.id }))).items.length, 1);
    await processes[1].stop();
    const after = await tableUse(engine, "accounts");
    assert.equal(after.replica.reads - before.replica.reads, 40);
    assert.equal(after.primary.reads, before.primary.reads);
    assert.deepEqual([after.replica.writes, after.primary.writes > 0], [0, true]);
  });

  it("CON-04: show what their owner has just done, in whichever process and order", async () => {
    const { processes, one, other } = await openBoth({ shared: true });
    await Promise.all(processes.map(({ database }) => untilReplicaReads(database)));
    for (let round = 0; round < 8; round++) {
      const email = `ann${round}@shop.test`;
      const [here, there] = round % 2 === 0 ? [one, other] : [other, one];
      const { id } = await here.createAccount({ email, password, name: "Ann", roles: ["support"] }, edgeCall());
      const me = edgeCall({ id, session: "ses_none" });
      await here.login({ email, password }, edgeCall());
      assert.equal((await there.getMe({}, me)).id, id);
      const { items } = await there.listSessions({}, me);
      assert.equal(items.length, 1);
      await there.deleteSession({ session: items[0]!.id }, me);
      assert.deepEqual((await here.listSessions({}, me)).items, []);
    }
  });
});
