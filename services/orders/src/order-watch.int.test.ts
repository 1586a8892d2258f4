import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { OrderChange } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import type { Cache } from "@kontor/platform/cache/cache.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { EventLog } from "@kontor/platform/events/events.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { openTestOrders } from "./open-test-orders.ts";
import { createOrderWatch } from "./order-watch.ts";

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
        [2, "PENDING"],
        [3, "CANCELLED"],
      ],
    );
    const later = [];
    for await (const change of app.orders.watchOrder({ order: order.id, afterVersion: 1 }, call)) later.push(change.version);
    assert.deepEqual(later, [2, 3]);
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

  it("API-04: a change of which no message came is found by polling, which reads the versions alone", async () => {
    const app = await openTestOrders();
    const order = await app.place();
    const { database, log: events } = app.services.get("orders")!;
    let reads = 0;
    const counted: EventLog = { ...events, history: (...of) => (reads++, events.history(...of)) };
    const lossy: Cache = { ...createMemoryCache({ maxEntries: 1 }), publish: async () => undefined };
    const { follow } = createOrderWatch({ database, cache: lossy, events: counted, log });
    const seen: number[] = [];
    for await (const { version } of follow(order.id, 0, new AbortController().signal)) {
      seen.push(version);
      if (version > 1) break;
      await app.orders.cancelOrder({ order: order.id }, asCustomer(order.customer));
    }
    assert.deepEqual([seen, reads], [[1, 2], 2]);
  });

  it("shows an order to nobody else", async () => {
    const app = await openTestOrders();
    const order = await app.place();
    const reading = Array.fromAsync(app.orders.watchOrder({ order: order.id }, asCustomer("usr_other")));
    await assert.rejects(reading, (error) => refusalIn(error)?.reason === "NOT_FOUND");
  });
});

describe("waiting for an order", () => {
  const wait = { forMs: 10_000 };

  it("ORD-06 PAY-06: a read that waits gets the order when it is paid, and after its next change when it knows that version", async () => {
    const app = await openTestOrders();
    const order = await app.place();
    const call = asCustomer(order.customer);
    const paying = app.orders.getOrder({ order: order.id, wait }, call);
    await app.pay(order);
    const paid = await paying;
    assert.deepEqual([paid.version, OrderStatus[paid.status]], [2, "PAID"]);
    assert.deepEqual(await app.orders.getOrder({ order: order.id, wait }, call), paid, "a paid order waits for nothing");
    const changing = app.orders.getOrder({ order: order.id, wait: { ...wait, afterVersion: 2 } }, call);
    await app.orders.cancelOrder({ order: order.id }, call);
    assert.ok((await changing).version > 2);
    const cancelled = await app.orders.getOrder({ order: order.id, wait }, call);
    assert.deepEqual([OrderStatus[cancelled.status], cancelled.cancelling], ["CANCELLED", false]);
  });

  it("ORD-06: a change of which no message came is found by polling", async () => {
    const app = await openTestOrders();
    const order = await app.place();
    const changing = app.orders.getOrder({ order: order.id, wait }, asCustomer(order.customer));
    await app.services.get("orders")!.database.run(sql`update orders set version = version + 1 where id = ${order.id}`);
    assert.equal((await changing).version, 2);
  });

  it("ORD-06: reads of many orders wait together, each for its own", async () => {
    const app = await openTestOrders();
    const orders = await Promise.all(Array.from({ length: 20 }, () => app.place()));
    const waiting = orders.map(({ id }) => app.orders.getOrder({ order: id, wait }, asCustomer("usr_test")));
    for (const order of orders) await app.orders.cancelOrder({ order: order.id }, asCustomer("usr_test"));
    for (const [nth, order] of (await Promise.all(waiting)).entries())
      assert.deepEqual(
        [order.id, order.version > 1, order.cancelling || order.status === OrderStatus.CANCELLED],
        [orders[nth]!.id, true, true],
      );
  });

  it("shows an order to nobody else", async () => {
    const app = await openTestOrders();
    const order = await app.place();
    const reading = app.orders.getOrder({ order: order.id, wait }, asCustomer("usr_other"));
    await assert.rejects(reading, (error) => refusalIn(error)?.reason === "NOT_FOUND");
  });
});

const log: Logger = { debug: () => undefined, info: () => undefined, warn: console.warn, error: console.error, child: () => log };
const asCustomer = (id: string) => testCall({ caller: "gateway", user: { id } });
