import assert from "node:assert/strict";
import { it } from "node:test";
import { CartsService } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { CheckoutService } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { dayMs, isSwept } from "@kontor/platform/retention/retention.ts";
import { sweep } from "@kontor/platform/retention/sweep.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { retentions } from "./retention.ts";
import { brokenIn } from "./verify/test-breaks.ts";
import { openTestShop } from "./verify/test-shop.ts";
import type { TestShop } from "./verify/test-shop.ts";
import { verify } from "./verify/verify.ts";

/** The rows that are swept some time, as "service table: rows", with their number. */
async function sweptRows(shop: TestShop): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const [name, entries] of retentions)
    for (const entry of entries.filter(isSwept)) {
      const query = sql`select count(*)::int as rows from ${sql.name(entry.table)} where ${entry.where ?? sql`true`}`;
      found[`${name} ${entry.table}: ${entry.rows}`] = (await shop.database(name).one<{ rows: number }>(query)).rows;
    }
  return found;
}

/** Guests, customers and orders that end in every way: paid, cancelled, refused, expired. */
async function busyDay(shop: TestShop): Promise<void> {
  const of = shop.app.clients.of.bind(shop.app.clients);
  await of("carts", CartsService).createCart({ currency: "EUR" }, testCall({ idempotencyKey: `cart-${shop.app.clock.now().getTime()}` }));
  const email = `bob.${shop.app.clock.now().getTime()}@shop.test`;
  await of("identity", IdentityService).register({ email, password: "correct horse", name: "Bob" }, testCall({ caller: "gateway" }));
  await of("identity", IdentityService).createAccount({ email: `the.${email}`, password: "correct horse", name: "Bob" }, testCall());
  await of("identity", IdentityService).login({ email: `the.${email}`, password: "correct horse" }, testCall({ caller: "gateway" }));
  const paid = await shop.place([{ sku: "A", quantity: 1 }]);
  await shop.pay(paid);
  const cancelled = await shop.place([{ sku: "A", quantity: 1 }]);
  await shop.cancel(cancelled);
  await shop.place([{ sku: "A", quantity: 1 }]);
  const { outcome } = await of("checkout", CheckoutService)
    .placeOrder({ lines: [{ sku: "B", quantity: 2 }], currency: "EUR" }, testCall({ user: { id: "usr_test" }, idempotencyKey: email }))
    .catch((error: unknown) => {
      assert.equal(refusalIn(error)?.reason, "OUT_OF_STOCK");
      return { outcome: undefined };
    });
  assert.equal(outcome, undefined);
  await shop.settle();
}

it("DAT-16: what a busy shop leaves behind is gone half a year later, and every invariant still holds", async () => {
  const shop = await openTestShop({ A: 100, B: 1 });
  await busyDay(shop);
  const carts = async () => (await shop.database("carts").one<{ rows: number }>(sql`select count(*)::int as rows from documents`)).rows;
  const left = await sweptRows(shop);
  for (const rows of [
    "checkout sagas: ended checkouts",
    "identity registrations: registrations that were not verified",
    "identity sessions: sign-ins that have expired",
    "inventory reservations: refused and released reservations, and tombstones",
    "notifications notifications: messages to customers",
    "provider webhooks: webhooks that are not sent any more",
    "notifications tasks: tasks that are done",
    "orders idempotency_keys: responses under their keys",
  ])
    assert.ok(left[rows]! > 0, rows);
  assert.equal(await carts(), 1);
  // The order that nobody pays expires; from then on nothing happens for longer than anything is kept.
  await shop.pass(25);
  await shop.pass(24 * 181);
  for (const name of ["mailbox", "provider"] as const)
    await sweep(shop.database(name), retentions.get(name)!, new Date(Date.now() + 31 * dayMs));
  const over = await sweptRows(shop);
  assert.deepEqual(Object.fromEntries(Object.entries(over).filter(([, rows]) => rows > 0)), {});
  assert.equal(await carts(), 0);
  for (const [name, { database }] of shop.app.services)
    if (name !== "checkout")
      assert.equal((await database.one<{ rows: number }>(sql`select count(*)::int as rows from sagas`)).rows, 0, name);
  assert.deepEqual(brokenIn(await verify(shop.databases, { now: () => shop.app.clock.now() })), {});
});
