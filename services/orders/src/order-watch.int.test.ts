import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { OrderChange } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { openTestOrders } from "./open-test-orders.ts";

describe("watching an order", () => {
  it("API-04 ORD-06: delivers what was and then each change, and ends with the order", async () => {
    const app = await openTestOrders();
    const order = await app.place();
    const call = asCustomer(order.customer);
    const seen: OrderChange[] = [];
    for await (const change of app.orders.watchOrder({ order: order.id }, call)) {
      seen.push(change);
      if (change.version === 1) await app.orders.cancelOrder({ order: order.id }, call);
    }
    assert.deepEqual(
      seen.map(({ version, status }) => [version, OrderStatus[status]]),
      [
        [1, "PENDING"],
        [2, "CANCELLED"],
      ],
    );
    const later = [];
    for await (const change of app.orders.watchOrder({ order: order.id, afterVersion: 1 }, call)) later.push(change.version);
    assert.deepEqual(later, [2]);
  });

  it("API-04: ends when its reader leaves, and at its deadline", async () => {
    const app = await openTestOrders();
    const order = await app.place();
    const call = asCustomer(order.customer);
    for await (const change of app.orders.watchOrder({ order: order.id }, call)) {
      assert.equal(change.version, 1);
      break;
    }
    const short = call.with({ deadlineMs: performance.now() + 50 });
    const reading = Array.fromAsync(app.orders.watchOrder({ order: order.id, afterVersion: 1 }, short));
    await assert.rejects(reading, (error) => refusalIn(error)?.reason === "DEADLINE_EXCEEDED");
  });

  it("shows an order to nobody else", async () => {
    const app = await openTestOrders();
    const order = await app.place();
    const reading = Array.fromAsync(app.orders.watchOrder({ order: order.id }, asCustomer("usr_other")));
    await assert.rejects(reading, (error) => refusalIn(error)?.reason === "NOT_FOUND");
  });
});

const asCustomer = (id: string) => testCall({ caller: "gateway", user: { id } });
