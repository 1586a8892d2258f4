import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { CartsService } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { CatalogService, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { CheckoutService } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { NotificationsService } from "@kontor/contracts/gen/kontor/notifications/v1/notifications_pb.js";
import { OrdersService, OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { compile, sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { recordStatements } from "@kontor/platform/testing/record-statements.ts";
import { databaseNames } from "./roles.ts";
import { scansOf } from "./test-plans.ts";
import { fillersOf } from "./test-rows.ts";
import { openTestShop } from "./verify/test-shop.ts";
import type { TestShop } from "./verify/test-shop.ts";

const rowsOfBigTables = 10_000;
/** All of it on a busy machine, with the shop's start. */
const timeout = { timeout: 240_000 };
/** What a statement may look at, however big the tables are: a list of products looks at 2,000, each with its variants and categories. */
const rowsMax = 12_000;

const admin = (key?: string) =>
  testCall({ user: { id: "usr_admin", roles: ["admin"] }, ...(key !== undefined && { idempotencyKey: key }) });

/** Everything that customers, guests and administrators do. */
async function useShop(shop: TestShop): Promise<void> {
  const of = shop.app.clients.of.bind(shop.app.clients);
  const customer = testCall({ user: { id: "usr_1" } });
  const paid = await shop.place([{ sku: "A", quantity: 1 }]);
  await shop.pay(paid);
  await shop.settle();
  await of("orders", OrdersService).getOrder({ order: paid.id }, admin());
  await of("orders", OrdersService).getOrderHistory({ order: paid.id }, admin());
  await of("payments", PaymentsService).getPayment({ payment: paid.payment!.id }, admin());
  await shop.refund(paid, "1.00");
  await shop.settle();
  await shop.fulfil(paid);
  await shop.cancel(await shop.place([{ sku: "A", quantity: 1 }]));
  const declined = await shop.place([{ sku: "A", quantity: 1 }]);
  await shop.pay(declined, "decline");
  const cart = await of("carts", CartsService).createCart({ currency: "EUR" }, testCall({ idempotencyKey: "cart" }));
  await of("carts", CartsService).addLine({ cart: cart.id, sku: "A", quantity: 1 }, testCall({ idempotencyKey: "line" }));
  await of("carts", CartsService).getCart({ cart: cart.id }, testCall());
  await of("checkout", CheckoutService)
    .placeOrder({ lines: [{ sku: "B", quantity: 2 }], currency: "EUR" }, testCall({ user: { id: "usr_test" }, idempotencyKey: "much" }))
    .catch(() => undefined);
  const gateway = testCall({ caller: "gateway" });
  await of("identity", IdentityService).register({ email: "bob@shop.test", password: "correct horse", name: "Bob" }, gateway);
  await of("identity", IdentityService).createAccount({ email: "carol@shop.test", password: "correct horse", name: "Carol" }, testCall());
  await of("identity", IdentityService).login({ email: "carol@shop.test", password: "correct horse" }, gateway);
  await of("identity", IdentityService).listSessions({}, customer);
  await of("notifications", NotificationsService).listNotifications({}, customer);
  await of("inventory", InventoryService).listStock({}, admin());
  await of("inventory", InventoryService).listStock({ sku: ["A"] }, admin());
  await of("inventory", InventoryService).listMovements({ sku: "A" }, admin());
  await shop.pass(25);
  await shop.pass(25);
}

/** Lists with filters and orders, those that find nothing too. */
async function list(shop: TestShop): Promise<void> {
  const of = shop.app.clients.of.bind(shop.app.clients);
  for (const status of [
    OrderStatus.ORDER_STATUS_UNSPECIFIED,
    OrderStatus.PENDING,
    OrderStatus.PAID,
    OrderStatus.COMPLETED,
    OrderStatus.CANCELLED,
  ])
    for (const filter of [{}, { customer: "usr_1" }]) {
      const { nextCursor } = await of("orders", OrdersService).listOrders({ status, ...filter, limit: 1 }, admin());
      if (nextCursor !== undefined)
        await of("orders", OrdersService).listOrders({ status, ...filter, limit: 1, cursor: nextCursor }, admin());
    }
  await of("catalog", CatalogService).listCategories({}, admin());
  const { id: category } = await of("catalog", CatalogService).createCategory({ name: "Things" }, admin("category"));
  await of("catalog", CatalogService).listCategories({ parent: category }, admin());
  const filters = [
    {},
    { category },
    { tag: "tag 1" },
    { vendor: "Vendor 1" },
    { currency: "EUR", priceMax: "5.00" },
    { currency: "EUR", priceMin: "1000.00" },
    { currency: "EUR", priceMin: "1000.00", tag: "tag 1", category },
    { currency: "EUR", priceMin: "1000.00", priceMax: "1050.00", tag: "tag 1", vendor: "Vendor 2" },
  ];
  for (const filter of filters)
    for (const sort of ["", "price", "-price"])
      for (const status of [ProductStatus.PRODUCT_STATUS_UNSPECIFIED, ProductStatus.DRAFT])
        await of("catalog", CatalogService).listProducts({ ...filter, currency: "EUR", sort, status, limit: 100 }, admin());
}

/** Statements that look at more, each by a text in it, and why they may. */
const allowed: Readonly<Record<string, string>> = {
  "max(position) from events": "the tests' own question whether anything goes on",
  "from parked_events p where p.subscription = s.name": "how much is parked, for operators: it is little, or an alert",
  "pg_snapshot_xmax(pg_current_snapshot())": "a subscriber reads its publisher's log, 10,000 events at a time",
};

describe("the statements that a shop sends", timeout, () => {
  const recorded = new Map<string, Sql[]>();
  let shop: TestShop;
  before(async () => {
    let recording = true;
    shop = await openTestShop(
      { A: 100, B: 1 },
      {
        around: (service, database) => {
          const statements: Sql[] = [];
          recorded.set(service, statements);
          return recordStatements(database, (query) => void (recording && statements.push(query)));
        },
      },
    );
    await useShop(shop);
    await list(shop);
    recording = false;
    const made = { at: new Date("2025-06-01T00:00:00Z"), count: rowsOfBigTables };
    for (const name of databaseNames) {
      for (const filler of Object.values(fillersOf(name))) await shop.database(name).run(filler(made));
      await shop.database(name).run(sql`analyze`);
    }
  }, timeout);

  for (const name of databaseNames.filter((one) => one !== "mailbox"))
    it(`DAT-16: of ${name} none scans a big table, or looks at more than ${rowsMax} rows`, async () => {
      const database = shop.database(name);
      const tables = await database.rows<{ name: string }>(
        sql`select relname as name from pg_class where reltuples >= ${rowsOfBigTables / 2}`,
      );
      const big = new Set(tables.map((table) => table.name));
      assert.ok(big.size > 0 && recorded.get(name)!.length > 0);
      const found = new Set<string>();
      for (const statement of recorded.get(name)!) {
        const { text } = compile(statement);
        if (/^\s*(lock|analyze|set) /i.test(text) || Object.keys(allowed).some((part) => text.includes(part))) continue;
        const scans = await scansOf(database, statement);
        const rows = scans.reduce((sum, scan) => sum + scan.rows, 0);
        if (scans.some(({ table, how }) => how === "Seq Scan" && big.has(table)) || rows > rowsMax)
          found.add(`${scans.map((scan) => `${scan.how} of ${scan.rows} ${scan.table}`).join(", ")}:\n${text}`);
      }
      assert.deepEqual([...found], []);
    });
});
