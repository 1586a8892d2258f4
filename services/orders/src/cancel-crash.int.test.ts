import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import { customer, openTestOrders } from "./open-test-orders.ts";

describe("orders: cancelling and a crash", () => {
  it("R8: an order whose payment was closed just before a crash is cancelled soon after it, not at its deadline", async () => {
    const app = await openTestOrders();
    const order = await app.place();
    const { database } = app.services.get("orders")!;
    // From the closing of the payment on nothing more is written, as in a process that has ended.
    await database.run(sql`create function refuse_end() returns trigger language plpgsql as
      'begin raise exception ''gone''; end'`);
    await database.run(
      sql`create trigger refuse_end before update on orders for each row when (new.status = 'CANCELLED') execute function refuse_end()`,
    );
    app.faultsExpected = true;
    await Promise.allSettled([app.orders.cancelOrder({ order: order.id }, customer())]);
    assert.equal((await app.read(order.id)).status, OrderStatus.PENDING);
    await database.run(sql`drop trigger refuse_end on orders`);
    for (let tries = 0; tries < 3; tries++) await app.pass(60_000);
    const { status, history } = await app.read(order.id);
    assert.deepEqual([status, history.at(-1)?.cause, history.at(-1)?.actor], [OrderStatus.CANCELLED, "CUSTOMER", "usr_test"]);
  });
});
