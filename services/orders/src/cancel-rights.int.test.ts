import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Allow } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { contractOf } from "@kontor/platform/contract/contract.ts";
import { openTestOrders, staff } from "./open-test-orders.ts";

describe("orders: who cancels", () => {
  it("PAY-04 ORD-16: of the shop's people those cancel another's order who may refund it", async () => {
    const app = await openTestOrders();
    const { allow } = contractOf(PaymentsService.method.createRefund);
    for (const who of [Allow.ADMIN, Allow.SELLER, Allow.SUPPORT]) {
      const { id } = await app.place();
      const [outcome] = await Promise.allSettled([app.orders.cancelOrder({ order: id }, staff(Allow[who].toLowerCase()))]);
      assert.equal(outcome.status === "fulfilled", allow.includes(who), Allow[who]);
    }
  });
});
