import assert from "node:assert/strict";
import { it } from "node:test";
import { baseName, partitionName, partitionOf } from "./partition-name.ts";

it("the name of a partition's row has the subscription and the partition", () => {
  assert.equal(partitionName("orders.claims", 11), "orders.claims#11");
  assert.deepEqual([baseName("orders.claims#11"), partitionOf("orders.claims#11")], ["orders.claims", 11]);
  assert.deepEqual([baseName("orders.claims"), partitionOf("orders.claims")], ["orders.claims", undefined]);
});
