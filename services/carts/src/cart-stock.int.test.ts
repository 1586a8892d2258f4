import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { guest, openTestCarts } from "./open-test-carts.ts";

describe("carts: stock", () => {
  it("CART-01: says which lines have more units than there are, and how many there are, and adds up the others", async () => {
    const { client, sell } = await openTestCarts();
    sell("chair", "10.00", "EUR", 10);
    sell("owed", "1.00", "EUR", -3);
    sell("voucher", "5.00");
    const cart = await client.createCart(
      {
        currency: "EUR",
        lines: [
          { sku: "chair", quantity: 11 },
          { sku: "owed", quantity: 1 },
          { sku: "voucher", quantity: 500 },
        ],
      },
      guest(),
    );
    const facts = ({ lines }: typeof cart) =>
      lines.map(({ sku, available, unitsAvailable, total }) => [sku, available, unitsAvailable, total?.amount]);
    assert.deepEqual(facts(cart), [
      ["chair", false, 10, "110.00"],
      ["owed", false, 0, "1.00"],
      ["voucher", true, undefined, "2500.00"],
    ]);
    assert.equal(cart.total?.amount, "2500.00");
    const fewer = await client.updateLine({ cart: cart.id, line: cart.lines[0]!.id, quantity: 10 }, guest());
    assert.deepEqual([facts(fewer)[0], fewer.total?.amount], [["chair", true, undefined, "100.00"], "2600.00"]);
  });
});
