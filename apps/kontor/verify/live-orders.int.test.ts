import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import { openTestShop } from "./test-shop.ts";
import { verify } from "./verify.ts";

describe("verify: the orders of a cart", () => {
  it("I10 CART-03: two of one cart that can both be paid; one that was cancelled before does not count", async () => {
    const shop = await openTestShop({ A: 5 });
    const place = () => shop.place([{ sku: "A", quantity: 1 }]);
    const [cancelled, one, other] = [await place(), await place(), await place()];
    // The field `cart` of a checkout's input: they are of one cart from then on.
    const field = Buffer.concat([Buffer.from([0x32, 6]), Buffer.from("cart-1")]);
    const ofOneCart = ({ id }: Order) =>
      shop
        .database("checkout")
        .run(sql`update sagas set input = input || ${field}::bytea where position(${Buffer.from(id)}::bytea in input) > 0`);
    const breaches = async () => (await verify(shop.databases, { only: ["I10"] })).flatMap((finding) => finding.breaches);
    await shop.cancel(cancelled);
    for (const order of [cancelled, one]) await ofOneCart(order);
    assert.deepEqual(await breaches(), []);
    await ofOneCart(other);
    assert.deepEqual(await breaches(), [`the orders ${one.id} and ${other.id} of one cart are both PENDING`]);
  });
});
