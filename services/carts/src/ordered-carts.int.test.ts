import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ClearCartsSchema } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { cartKey } from "./cart.ts";
import { elsewhere, openTestCarts, user } from "./open-test-carts.ts";
import type { TestCarts, TestCartsOptions } from "./open-test-carts.ts";

const gone = (error: unknown) => refusalIn(error)?.reason === "NOT_FOUND";
const owner = () => user("usr_a");
const linesOf = async ({ client }: TestCarts, cart: string) =>
  (await client.getCart({ cart }, owner())).lines.map(({ sku, quantity }) => [sku, quantity]);

for (const [where, options] of Object.entries<TestCartsOptions>({ PostgreSQL: {}, "another store": { documents: elsewhere } }))
  describe(`carts in ${where}: what was ordered leaves them once it is paid`, () => {
    const open = async () => {
      const shop = await openTestCarts(options);
      for (const sku of ["A", "B", "C"]) shop.sell(sku, "1.00");
      const lines = [
        { sku: "A", quantity: 2 },
        { sku: "B", quantity: 1 },
      ];
      const { id } = await shop.client.createCart({ currency: "EUR", lines }, owner());
      return { shop, cart: id };
    };
    const ordered = [
      ["A", 2],
      ["B", 1],
    ] as const;

    it("CART-03: a cart that is as it was ordered is removed, also when the event is delivered twice", async () => {
      const { shop, cart } = await open();
      for (let time = 0; time < 2; time++) await shop.paid(cartKey(cart), { version: 1, lines: ordered });
      await shop.paid("");
      await shop.settle();
      await assert.rejects(shop.client.getCart({ cart }, owner()), gone);
    });

    it("DAT-07, CART-03: the carts that the version before left to be removed are removed", async () => {
      const { shop, cart } = await open();
      const task = { queue: "clear-carts", key: "evt_1", payload: create(ClearCartsSchema, { keys: [cartKey(cart)] }) };
      const { tasks } = shop.services.get("carts")!;
      await shop.database.transaction((tx) => tasks.add(tx, testCall(), [task]));
      await shop.settle();
      await assert.rejects(shop.client.getCart({ cart }, owner()), gone);
    });

    it("CART-03: what was added since stays, and can be changed and ordered", async () => {
      const { shop, cart } = await open();
      await shop.client.addLine({ cart, sku: "C", quantity: 4 }, owner());
      await shop.client.addLine({ cart, sku: "A", quantity: 1 }, owner());
      await shop.paid(cartKey(cart), { version: 1, lines: ordered });
      await shop.pass(10_000);
      const left = [
        ["A", 1],
        ["C", 4],
      ];
      assert.deepEqual(await linesOf(shop, cart), left);
      await shop.client.addLine({ cart, sku: "B", quantity: 1 }, owner());
      const { version, lines } = await shop.client.getCartForCheckout({ cart }, owner());
      await shop.paid(cartKey(cart), { version, lines: lines.map(({ sku, quantity }) => [sku, quantity]) });
      await shop.settle();
      await assert.rejects(shop.client.getCart({ cart }, owner()), gone);
    });

    it("CART-03: an order takes its lines out once, however often that is asked, and never what was taken out by hand", async () => {
      const { shop, cart } = await open();
      const request = { key: cartKey(cart), order: "ord_1", lines: ordered.map(([sku, quantity]) => ({ sku, quantity })) };
      const { lines } = await shop.client.addLine({ cart, sku: "C", quantity: 1 }, owner());
      await shop.client.deleteLine({ cart, line: lines[1]!.id }, owner());
      const remove = () => shop.client.removeOrdered(request, testCall({ caller: "checkout" }));
      await Promise.all(Array.from({ length: 5 }, remove));
      await shop.client.addLine({ cart, sku: "A", quantity: 3 }, owner());
      await remove();
      assert.deepEqual(await linesOf(shop, cart), [
        ["C", 1],
        ["A", 3],
      ]);
      await shop.client.removeOrdered({ ...request, key: "none" }, testCall({ caller: "checkout" }));
    });

    it("CART-03: a line that is added while the cart is cleared is either kept or refused", async () => {
      for (let nth = 0; nth < 5; nth++) {
        const { shop, cart } = await open();
        const request = { key: cartKey(cart), order: "ord_1", lines: ordered.map(([sku, quantity]) => ({ sku, quantity })) };
        const adding = shop.client.addLine({ cart, sku: "C", quantity: 1 }, owner());
        const [added] = await Promise.allSettled([adding, shop.client.removeOrdered(request, testCall({ caller: "checkout" }))]);
        if (added.status === "fulfilled") assert.deepEqual(await linesOf(shop, cart), [["C", 1]]);
        else await assert.rejects(shop.client.getCart({ cart }, owner()), gone);
      }
    });
  });
