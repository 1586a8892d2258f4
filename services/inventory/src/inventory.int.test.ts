import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import { openTestServices, testCall } from "@kontor/platform/testing/test-services.ts";
import { inventory } from "./service.ts";

describe("inventory", () => {
  it("INV-05 R1: of 100 orders for 10 units, 10 get one", async () => {
    const house = await openTestServices({ services: [inventory], registry: contracts, others: {} });
    const client = house.clients.of("inventory", InventoryService);
    await client.importStock({ stock: [{ sku: "A", onHand: 10 }] }, testCall());
    const expiresAt = { seconds: BigInt(house.clock.now().getTime() / 1000 + 3600), nanos: 0 };
    const results = await Promise.allSettled(
      Array.from({ length: 100 }, (_, at) => client.reserve({ order: `ord_${at}`, lines: [{ sku: "A", quantity: 1 }], expiresAt }, testCall())),
    );
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 10);
    const { items } = await client.listStock({ sku: ["A"] }, testCall({ user: { roles: ["admin"] } }));
    assert.deepEqual([items[0]?.onHand, items[0]?.reserved, items[0]?.available], [10, 10, 0]);
  });
});
