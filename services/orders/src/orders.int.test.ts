import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { OrdersService, OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { customer, openTestOrders, refuseRows, staff } from "./open-test-orders.ts";
import type { TestOrders } from "./open-test-orders.ts";

describe("orders: making them", () => {
  let app: TestOrders;
  before(async () => {
    app = await openTestOrders();
  });
  const count = async (table: "orders" | "events" | "tasks", of: string) => {
    const { database } = app.services.get("orders")!;
    const column = { orders: sql`id`, events: sql`stream`, tasks: sql`key` }[table];
    const { count: rows } = await database.one<{ count: number }>(
      sql`select count(*)::int as count from ${sql.name(table)} where ${column} = ${of}`,
    );
    return rows;
  };

  it("ORD-01: an order is PENDING, with each line's price as it was and their sum, and says where it is paid", async () => {
    const request = app.request([
      ["A", 2],
      ["B", 3],
    ]);
    const order = await app.orders.createOrder(request, testCall({ user: {} }));
    assert.deepEqual([order.status, order.version, order.customer, order.total?.amount], [OrderStatus.PENDING, 1, "usr_test", "99.95"]);
    assert.deepEqual(order.lines, request.lines);
    assert.deepEqual([order.payment?.id, order.payment?.url], [request.payment, `http://shop.test/pay/${request.paymentSecret}`]);
    assert.equal(timestampDate(order.expiresAt!).getTime() - timestampDate(order.createdAt!).getTime(), 24 * 3_600_000);
    assert.deepEqual(await app.orders.getOrder({ order: order.id }, customer()), order);
  });

  for (const lines of [1, 2, 50, 200])
    it(`ORD-02: an order of ${lines} ${lines === 1 ? "line" : "lines"} reads back equal`, async () => {
      const request = app.request(Array.from({ length: lines }, (_, nth) => [`sku-${nth}`, nth + 1] as const));
      const order = await app.orders.createOrder(request, testCall({ user: {} }));
      const read = await app.orders.getOrder({ order: order.id }, customer());
      assert.deepEqual(read.lines, request.lines);
      assert.deepEqual(read, order);
      assert.deepEqual((await app.events(order.id))[0]?.order.lines, request.lines);
    });

  it("ORD-04: the same order made many times at once is one, and each caller gets it", async () => {
    const request = app.request();
    const made = await Promise.all(Array.from({ length: 30 }, () => app.orders.createOrder(request, testCall({ user: {} }))));
    for (const order of made) assert.deepEqual(order, made[0]);
    assert.deepEqual(await app.orders.createOrder(request, testCall({ user: {} })), made[0]);
    assert.deepEqual(
      [await count("orders", request.order), await count("events", request.order), await count("tasks", request.order)],
      [1, 1, 1],
    );
  });

  it("ORD-13: the order, its event and its clock are written together or not at all", async () => {
    const { database } = app.services.get("orders")!;
    const written = (id: string) => Promise.all((["orders", "events", "tasks"] as const).map((table) => count(table, id)));
    for (const table of ["orders", "events", "tasks"] as const) {
      const request = app.request();
      const heal = await refuseRows(database, table);
      app.faultsExpected = true;
      await assert.rejects(app.orders.createOrder(request, testCall({ user: {} })), { reason: "INTERNAL_ERROR" });
      app.faultsExpected = false;
      await heal();
      assert.deepEqual(await written(request.order), [0, 0, 0], `${table} refused`);
      await app.orders.createOrder(request, testCall({ user: {} }));
      assert.deepEqual(await written(request.order), [1, 1, 1]);
    }
  });

  it("CON-01: an order voided before it was made is never made, and has no events", async () => {
    const request = app.request();
    for (let time = 0; time < 2; time++) await app.orders.voidOrder({ order: request.order }, testCall());
    for (let time = 0; time < 2; time++)
      await assert.rejects(app.orders.createOrder(request, testCall({ user: {} })), {
        reason: "ORDER_VOID",
        code: "failed_precondition",
      });
    assert.deepEqual([await count("events", request.order), await count("tasks", request.order)], [0, 0]);
    await assert.rejects(app.read(request.order), { reason: "NOT_FOUND" });
    await assert.rejects(app.orders.cancelOrder({ order: request.order }, customer()), { reason: "NOT_FOUND" });
    const { items } = await app.orders.listOrders({ limit: 100 }, staff());
    assert.ok(!items.some(({ id }) => id === request.order));
    for (let nth = 0; nth < 30; nth++) {
      const raced = app.request();
      const [made] = await Promise.allSettled([
        app.orders.createOrder(raced, testCall({ user: {} })),
        app.orders.voidOrder({ order: raced.order }, testCall()),
      ]);
      const types = (await app.events(raced.order)).map(({ type }) => type);
      assert.deepEqual(types, made.status === "fulfilled" ? ["placed", "cancel_requested", "cancelled"] : []);
      // Its clock, and what would have cancelled it after a crash.
      assert.equal(await count("tasks", raced.order), made.status === "fulfilled" ? 2 : 0);
    }
  });

  it("ORD-01: refuses totals that are not the price times the quantity, and orders without lines", async () => {
    const request = app.request();
    const wrong = { ...request, lines: request.lines.map((line) => ({ ...line, quantity: 7 })) };
    await assert.rejects(app.orders.createOrder(wrong, testCall()), { reason: "INVALID_REQUEST" });
    await assert.rejects(app.orders.createOrder({ ...request, lines: [] }, testCall()), { reason: "INVALID_REQUEST" });
    assert.equal(await count("orders", request.order), 0);
  });
});

describe("orders: who sees what", () => {
  let app: TestOrders;
  before(async () => {
    app = await openTestOrders();
  });

  it("ORD-16: owner, other, admin, support and anonymous", async () => {
    const edge = app.rpc.clientsFor("gateway").of("orders", OrdersService);
    const callers = {
      owner: () => customer(),
      other: () => customer("usr_other"),
      admin: () => staff("admin"),
      support: () => staff("support"),
      anonymous: () => testCall(),
    };
    const operations = {
      get: (order: string, call: ReturnType<typeof customer>) => edge.getOrder({ order }, call),
      history: (order: string, call: ReturnType<typeof customer>) => edge.getOrderHistory({ order }, call),
      list: async (order: string, call: ReturnType<typeof customer>) => {
        const { items } = await edge.listOrders({ limit: 100 }, call);
        if (!items.some(({ id }) => id === order)) throw Object.assign(new Error("not listed"), { reason: "not listed" });
      },
      fulfil: async (order: string, call: ReturnType<typeof customer>) => {
        await app.pay(await app.read(order));
        await edge.createFulfilment({ order, carrier: "DHL", tracking: "1" }, call);
      },
      cancel: (order: string, call: ReturnType<typeof customer>) => edge.cancelOrder({ order }, call),
      describe: (order: string, call: ReturnType<typeof customer>) => edge.describeOrder({ order }, call),
      void: (order: string, call: ReturnType<typeof customer>) => edge.voidOrder({ order }, call),
      create: (_: string, call: ReturnType<typeof customer>) => edge.createOrder(app.request(), call),
    };
    const [none, anonymous] = ["PERMISSION_DENIED", "UNAUTHENTICATED"];
    const matrix: Record<keyof typeof operations, Record<keyof typeof callers, string>> = {
      get: { owner: "ok", other: "NOT_FOUND", admin: "ok", support: "ok", anonymous },
      history: { owner: "ok", other: "NOT_FOUND", admin: "ok", support: "ok", anonymous },
      list: { owner: "ok", other: "not listed", admin: "ok", support: "ok", anonymous },
      cancel: { owner: "ok", other: "NOT_FOUND", admin: "ok", support: none, anonymous },
      fulfil: { owner: none, other: none, admin: "ok", support: none, anonymous },
      describe: { owner: none, other: none, admin: none, support: none, anonymous: none },
      void: { owner: none, other: none, admin: none, support: none, anonymous: none },
      create: { owner: none, other: none, admin: none, support: none, anonymous: none },
    };
    for (const [operation, expected] of Object.entries(matrix))
      for (const [caller, outcome] of Object.entries(expected)) {
        const { id } = await app.place();
        const got = await operations[operation as keyof typeof operations](id, callers[caller as keyof typeof callers]()).then(
          () => "ok",
          (error: unknown) => (error as { reason: string }).reason,
        );
        assert.equal(got, outcome, `${caller} ${operation}`);
      }
  });

  it("ORD-16: whoever cancels is named, with the cause", async () => {
    for (const [call, cause, actor] of [
      [customer(), "CUSTOMER", "usr_test"],
      [staff("admin"), "ADMIN", "usr_admin"],
    ] as const) {
      const { id } = await app.place();
      const { history } = await app.orders.cancelOrder({ order: id }, call);
      assert.deepEqual([history.at(-1)?.cause, history.at(-1)?.actor], [cause, actor]);
    }
  });

  it("ORD-07: 1,000 orders: one's own only, newest first, each once on pages of any size, by order and not by line", async () => {
    const own = await openTestOrders();
    const mine: string[] = [];
    // Many of the same millisecond, as a flash sale makes them.
    for (let batch = 0; batch < 20; batch++) {
      const requests = Array.from({ length: 50 }, (_, nth) => ({
        ...own.request([
          ["A", 1],
          ["B", 1],
        ]),
        customer: nth % 5 === 0 ? "usr_test" : `usr_${nth % 5}`,
      }));
      await Promise.all(requests.map((request) => own.orders.createOrder(request, testCall())));
      mine.push(...requests.filter(({ customer: id }) => id === "usr_test").map(({ order }) => order));
      if (batch % 4 === 0) own.clock.advance(1);
    }
    const walk = async (limit: number, call: () => ReturnType<typeof customer>, filter = {}) => {
      const seen: { id: string; customer: string }[] = [];
      let cursor = "";
      for (;;) {
        const page = await own.orders.listOrders({ limit, cursor, ...filter }, call());
        assert.ok(page.items.length <= limit);
        seen.push(...page.items);
        if (page.nextCursor === undefined) return seen;
        assert.equal(page.items.length, limit, "a page with a next one is full");
        cursor = page.nextCursor;
      }
    };
    for (const limit of [7, 100]) {
      const seen = await walk(limit, customer);
      assert.deepEqual(
        seen.map(({ id }) => id),
        mine.toReversed(),
      );
      assert.ok(seen.every((order) => order.customer === "usr_test"));
    }
    const all = await walk(100, staff);
    assert.equal(new Set(all.map(({ id }) => id)).size, 1_000);
    assert.equal((await walk(100, staff, { customer: "usr_1" })).length, 200);

    // An order that comes while somebody turns the pages moves none of those that follow.
    const first = await own.orders.listOrders({ limit: 10 }, customer());
    own.clock.advance(1);
    await own.orders.createOrder(own.request(), testCall());
    const second = await own.orders.listOrders({ limit: 10, cursor: first.nextCursor! }, customer());
    assert.deepEqual(
      [...first.items, ...second.items].map(({ id }) => id),
      mine.toReversed().slice(0, 20),
    );
  });

  it("ORD-07: filters by status and time; refuses another's list and cursors that are not ours", async () => {
    const own = await openTestOrders();
    const [early, late] = [await own.place(), (own.clock.advance(1_000), await own.place())];
    await own.orders.cancelOrder({ order: early.id }, customer());
    const ids = async (filter: object) => (await own.orders.listOrders(filter, customer())).items.map(({ id }) => id);
    assert.deepEqual(await ids({}), [late.id, early.id]);
    assert.deepEqual(await ids({ status: OrderStatus.CANCELLED }), [early.id]);
    assert.deepEqual(await ids({ status: OrderStatus.PENDING }), [late.id]);
    assert.deepEqual(await ids({ createdAfter: early.createdAt }), [late.id]);
    assert.deepEqual(await ids({ createdBefore: late.createdAt }), [early.id]);
    assert.deepEqual(await ids({ customer: "usr_test" }), [late.id, early.id]);
    await assert.rejects(own.orders.listOrders({ customer: "usr_other" }, customer()), { reason: "PERMISSION_DENIED" });
    const forged = (values: unknown) => Buffer.from(JSON.stringify(values)).toString("base64url");
    for (const cursor of ["x", forged([1]), forged(["a", "b"]), forged([1e300, "ord_1"]), forged([null, "ord_1"])])
      await assert.rejects(own.orders.listOrders({ cursor }, customer()), { reason: "INVALID_CURSOR", code: "invalid_argument" });
  });
});
