import assert from "node:assert/strict";
import { before } from "node:test";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import { openTestShop } from "./test-shop.ts";
import type { TestShop } from "./test-shop.ts";
import { verify } from "./verify.ts";
import type { Finding, VerifyOptions } from "./verify.ts";

export type OrderName = "pending" | "paid" | "completed" | "expired" | "cancelled" | "takenBack" | "partlyRefunded" | "unclaimed";

/** Something that is broken for a test, and repaired after it. */
export interface Break {
  readonly in: string;
  /** Executed without triggers. */
  readonly broken: readonly Sql[];
  readonly repaired: readonly Sql[];
  /** What must be found, for each invariant that must be found broken. */
  readonly found: Readonly<Record<string, RegExp>>;
  readonly options?: VerifyOptions;
}

/** A shop for the tests of a suite, with orders in all states. */
export interface TestBreaks {
  readonly shop: TestShop;
  readonly orders: Readonly<Record<OrderName, Order>>;
  /** The shop's time, so many seconds later. */
  now(seconds?: number): Date;
  /** Changes a database without its triggers. */
  change(database: string, statements: readonly Sql[]): Promise<void>;
  /** Asserts that the break is found, with nothing else, and that nothing is found once it is repaired. */
  expectBroken(it: Break): Promise<void>;
}

/** What is broken, by invariant. */
export function brokenIn(findings: readonly Finding[]): Record<string, readonly string[]> {
  return Object.fromEntries(findings.filter(({ broken }) => broken > 0).map(({ id, breaches }) => [id, breaches]));
}

/** Opens the shop before the suite that calls this; what it gives may be read from its tests on. */
export function testBreaks(): TestBreaks {
  let shop: TestShop;
  let orders: TestBreaks["orders"];
  before(async () => {
    ({ shop, orders } = await openShopWithOrders());
  });
  const now = (seconds = 0) => new Date(shop.app.clock.now().getTime() + seconds * 1_000);
  const change = (name: string, statements: readonly Sql[]) =>
    shop.database(name).transaction(async (tx) => {
      await tx.run(sql`set local session_replication_role = replica`);
      for (const statement of statements) await tx.run(statement);
    });
  return {
    get shop() {
      return shop;
    },
    get orders() {
      return orders;
    },
    now,
    change,
    expectBroken: async ({ in: name, broken, repaired, found, options }) => {
      await change(name, broken);
      const findings = await verify(shop.databases, { now: () => now(), ...options });
      await change(name, repaired);
      const breaches = brokenIn(findings);
      assert.deepEqual(Object.keys(breaches), Object.keys(found), JSON.stringify(breaches, undefined, 2));
      for (const [id, text] of Object.entries(found)) assert.match(breaches[id]!.join("\n"), text);
      // Repaired, or the next test would find it.
      assert.deepEqual(brokenIn(await verify(shop.databases, options?.now && { ...options, now: () => now() })), {});
    },
  };
}

async function openShopWithOrders(): Promise<Pick<TestBreaks, "shop" | "orders">> {
  const shop = await openTestShop({ A: 50, B: 50, LAST: 1 });
  const expired = await shop.place([{ sku: "A", quantity: 1 }]);
  const completed = await shop.place([{ sku: "B", quantity: 2 }]);
  await shop.pay(completed, "decline");
  await shop.pay(completed);
  await shop.settle();
  await shop.pass(5);
  await shop.pass(20);
  const cancelled = await shop.place([{ sku: "A", quantity: 3 }]);
  await shop.cancel(cancelled);
  const takenBack = await shop.place([
    { sku: "A", quantity: 2 },
    { sku: "B", quantity: 1 },
  ]);
  await shop.pay(takenBack);
  await shop.settle();
  await shop.cancel(takenBack);
  const partlyRefunded = await shop.place([
    { sku: "A", quantity: 1 },
    { sku: "A", quantity: 1 },
  ]);
  await shop.pay(partlyRefunded);
  await shop.settle();
  await shop.fulfil(partlyRefunded);
  await shop.refund(partlyRefunded, "5.00");
  const unclaimed = await shop.place([{ sku: "LAST", quantity: 1 }]);
  await shop.release(unclaimed);
  const last = await shop.place([{ sku: "LAST", quantity: 1 }]);
  await assert.rejects(shop.place([{ sku: "LAST", quantity: 1 }]), { reason: "OUT_OF_STOCK" });
  await shop.pay(last);
  await shop.pay(unclaimed);
  const paid = await shop.place([
    { sku: "A", quantity: 1 },
    { sku: "B", quantity: 4 },
  ]);
  await shop.pay(paid);
  const pending = await shop.place([{ sku: "B", quantity: 5 }]);
  await shop.settle();
  return { shop, orders: { pending, paid, completed, expired, cancelled, takenBack, partlyRefunded, unclaimed } };
}
