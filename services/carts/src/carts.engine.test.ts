import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import type { DocumentsServer } from "@kontor/platform/documents/documents.ts";
import { createMongoDocuments } from "@kontor/platform/documents/mongodb.ts";
import { createRedisDocuments } from "@kontor/platform/documents/redis.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { engineAddress } from "@kontor/platform/testing/engines.ts";
import { cartKey } from "./cart.ts";
import { guest, openTestCarts, user } from "./open-test-carts.ts";

const dayMs = 24 * 3_600_000;
const prefix = `test-${randomUUID()}`;
const log: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: console.error, child: () => log };

function refused(reason: string): (error: unknown) => boolean {
  return (error) => refusalIn(error)?.reason === reason;
}

const stores: readonly (readonly [name: string, create: () => DocumentsServer])[] = [
  ["Redis", () => createRedisDocuments({ urls: [engineAddress("ENGINE_REDIS")], prefix, log })],
  ["a Redis cluster", () => createRedisDocuments({ urls: engineAddress("ENGINE_REDIS_CLUSTER").split(","), prefix, log })],
  ["MongoDB", () => createMongoDocuments({ url: engineAddress("ENGINE_MONGODB"), prefix, log })],
];

for (const [name, create] of stores)
  describe(`carts in ${name}`, () => {
    let documents: DocumentsServer;
    /** A process of the service; all have the same carts. */
    const open = async () => {
      const shop = await openTestCarts({ documents: () => documents });
      for (const sku of ["A", "B"]) shop.sell(sku, "1.50");
      return shop;
    };

    before(async () => {
      documents = create();
      await documents.start();
    });
    after(async () => {
      await documents.collection("carts").sweep(new Date(8_640_000_000_000_000));
      await documents.stop();
    });

    it("CART-02: a cart is changed, and survives a restart of the service", async () => {
      const { client } = await open();
      const { id, version } = await client.createCart({ currency: "EUR", lines: [{ sku: "A", quantity: 1 }] }, guest());
      assert.equal(version, 1);
      const added = await client.addLine({ cart: id, sku: "B", quantity: 2 }, guest());
      await client.updateLine({ cart: id, line: added.lines[0]!.id, quantity: 3 }, guest());
      await assert.rejects(
        client.updateLine({ cart: id, line: added.lines[0]!.id, quantity: 4, version: 2 }, guest()),
        (error) => refused("VERSION_CONFLICT")(error) && refusalIn(error)?.details["version"] === 3,
      );
      const before = await client.getCart({ cart: id }, guest());
      assert.deepEqual([before.version, before.total?.amount], [3, "7.50"]);
      const restarted = await open();
      assert.deepEqual(await restarted.client.getCart({ cart: id }, guest()), before);
      await restarted.client.deleteLine({ cart: id, line: before.lines[1]!.id }, guest());
      assert.equal((await client.getCart({ cart: id }, guest())).lines.length, 1);
      await client.deleteCart({ cart: id }, guest());
      await assert.rejects(restarted.client.getCart({ cart: id }, guest()), refused("NOT_FOUND"));
    });

    it("CART-02: a cart lives for 30 days from its last change, and is removed then", async () => {
      const { client, clock, pass } = await open();
      const { id } = await client.createCart({ currency: "EUR", lines: [{ sku: "A", quantity: 1 }] }, guest());
      await pass(29 * dayMs);
      const { expiresAt } = await client.addLine({ cart: id, sku: "A", quantity: 1 }, guest());
      assert.equal(Number(expiresAt?.seconds) * 1000, clock.now().getTime() + 30 * dayMs);
      await pass(30 * dayMs - 1);
      assert.equal((await client.getCart({ cart: id }, guest())).lines[0]?.quantity, 2);
      clock.advance(1);
      await assert.rejects(client.getCart({ cart: id }, guest()), refused("NOT_FOUND"));
      await pass(3_600_000);
      assert.equal(await documents.collection("carts").get(cartKey(id), new Date(0)), undefined);
    });

    it("CART-02: a guest's cart comes into the account's on signing in, once", async () => {
      const [one, other] = [await open(), await open()];
      const own = await one.client.createCart({ currency: "EUR", lines: [{ sku: "A", quantity: 1 }] }, user("usr_a"));
      const guests = await other.client.createCart({ currency: "EUR", lines: [{ sku: "A", quantity: 2 }] }, guest());
      const merging = Array.from({ length: 6 }, (_, at) =>
        (at % 2 === 0 ? one : other).client.mergeCart({ cart: own.id, from: guests.id }, user("usr_a")),
      );
      const merged = (await Promise.allSettled(merging)).filter(({ status }) => status === "fulfilled");
      assert.ok(merged.length > 0);
      const cart = await other.client.getCart({ cart: own.id }, user("usr_a"));
      assert.deepEqual(
        cart.lines.map(({ sku, quantity }) => [sku, quantity]),
        [["A", 3]],
      );
      await assert.rejects(one.client.getCart({ cart: guests.id }, guest()), refused("NOT_FOUND"));
    });

    it("two processes change a cart a hundred times at once, and no change is lost", async () => {
      const shops = [await open(), await open()];
      const { id } = await shops[0]!.client.createCart({ currency: "EUR" }, guest());
      await Promise.all(
        Array.from({ length: 100 }, (_, at) =>
          shops[at % 2]!.client.addLine({ cart: id, sku: at % 3 === 0 ? "A" : "B", quantity: 1 }, guest()),
        ),
      );
      const { lines, version } = await shops[1]!.client.getCart({ cart: id }, guest());
      assert.deepEqual(
        lines.map(({ quantity }) => quantity).toSorted((a, b) => a - b),
        [34, 66],
      );
      assert.equal(version, 101);
    });

    it("CART-03: a cart is removed when its order is paid", async () => {
      const { client, paid, settle } = await open();
      const { id } = await client.createCart({ currency: "EUR", lines: [{ sku: "A", quantity: 1 }] }, user("usr_a"));
      await paid(cartKey(id));
      await paid(cartKey(id));
      await settle();
      await assert.rejects(client.getCart({ cart: id }, user("usr_a")), refused("NOT_FOUND"));
    });
  });
