import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { asKeeper } from "./keeper.ts";
import { startShop } from "./shop-process.ts";
import type { ShopProcess } from "./shop-process.ts";
import type { Shopper } from "./shopper.ts";

const kills = Number(process.env["KONTOR_KILLS"] ?? 3);
const shoppersCount = Number(process.env["KONTOR_SHOPPERS"] ?? 6);
const ends = { no: ["PAID"], asked: ["PAID", "CANCELLED"], told: ["CANCELLED"] } as const;
/** How many orders are to be paid between two kills. */
const paidBetween = 8;

/** What a shopper was told: whatever the shop has acknowledged must be there afterwards. */
interface Told {
  readonly key: string;
  readonly cart: string;
  order?: { readonly id: string; readonly text: string };
  /** The provider has sent the shopper back to the shop: the money is taken. */
  paid: boolean;
  /** The shop itself has said so. */
  seenPaid: boolean;
  /** It was to be cancelled after that; "told" when the shop has said that it is. */
  cancelled: "no" | "asked" | "told";
}

describe("killed in the middle of orders", () => {
  let shop: ShopProcess;
  let shoppers: Shopper[];
  let sku = "";

  before(async () => {
    shop = await startShop();
    await asKeeper(shop.environment, async (keeper) => {
      shoppers = await keeper.shoppers(shop, shoppersCount);
      [sku] = (await keeper.goods([100_000])) as [string];
    });
  });

  it(`R8 R9 R12 MSG-09 ORD-13 ORD-14 I10: after each of ${kills} kills, the last of PostgreSQL, every order that was under way is finished, once`, async (t) => {
    const told = new Map<Shopper, Told[]>(shoppers.map((shopper) => [shopper, []]));
    const all = () => [...told.values()].flat();
    for (let round = 1; round <= kills; round++) {
      const away = { yet: false };
      const rounds = shoppers.map((shopper) => shopUntil(shopper, told.get(shopper)!, away));
      await until(() => all().filter(({ paid }) => paid).length >= round * paidBetween, rounds);
      // Anywhere in what they do, not only where the last of them was paid.
      await pause(Math.random() * 60);
      away.yet = true;
      if (round === kills) {
        // The last time PostgreSQL is killed, and the shop ends by itself.
        process.kill(shop.postgresPid, "SIGKILL");
        assert.equal(await shop.ended, 1);
      } else await shop.kill();
      await Promise.all(rounds);
      await shop.start();
    }
    t.diagnostic(
      `${all().length} orders, ${all().filter(({ order }) => order === undefined).length} of them without an answer, ${all().filter(({ paid }) => paid).length} paid`,
    );
    for (const [shopper, attempts] of told) {
      await shopper.login();
      for (const { key, cart, order, paid, seenPaid, cancelled } of attempts) {
        if (seenPaid && cancelled === "no")
          assert.equal((await shopper.expect(200, "GET", `/v1/orders/${order!.id}`)).body.status, "PAID", "what was PAID stays so");
        const again = await shopper.call("POST", "/v1/orders", { json: { cart }, key });
        assert.equal(again.status, 201, again.text);
        if (order !== undefined) assert.equal(again.text, order.text, "the same key gives the same answer after a crash");
        if (paid) await shopper.until(order!.id, ...ends[cancelled]);
      }
      const ordered = new Set<string>();
      for (let next = "/v1/orders?limit=100"; next !== "";) {
        const { body } = await shopper.expect(200, "GET", next);
        for (const { id } of body.items) ordered.add(id);
        next = body.nextCursor === undefined ? "" : `/v1/orders?limit=100&cursor=${encodeURIComponent(body.nextCursor)}`;
      }
      assert.equal(ordered.size, attempts.length, "one order a cart, and no other");
    }
    const { code, output } = await shop.run(["verify"]);
    assert.equal(code, 0, output);
  });

  /** Orders and pays, again and again, until the shop is killed. What fails because it is away is left as it is: its outcome is unknown. */
  async function shopUntil(shopper: Shopper, attempts: Told[], away: { readonly yet: boolean }): Promise<void> {
    while (!away.yet)
      try {
        const cart = await shopper.expect(201, "POST", "/v1/carts", { json: { currency: "EUR", lines: [{ sku, quantity: 1 }] } });
        const attempt: Told = { key: randomUUID(), cart: cart.body.id, paid: false, seenPaid: false, cancelled: "no" };
        attempts.push(attempt);
        const placed = await shopper.expect(201, "POST", "/v1/orders", { json: { cart: attempt.cart }, key: attempt.key });
        attempt.order = { id: placed.body.id, text: placed.text };
        const answer = await shopper.pay(placed.body.payment.url);
        await answer.arrayBuffer();
        assert.equal(answer.status, 303);
        attempt.paid = true;
        attempt.seenPaid = (await shopper.expect(200, "GET", `/v1/orders/${placed.body.id}`)).body.status === "PAID";
        if (!attempt.seenPaid || Math.random() < 0.6) continue;
        attempt.cancelled = "asked";
        await shopper.expect(200, "POST", `/v1/orders/${placed.body.id}/cancel`, { json: {} });
        attempt.cancelled = "told";
      } catch (error) {
        // fetch says so when a connection breaks. A shop that has lost its PostgreSQL may still answer 202, 503 and 504.
        const gone =
          error instanceof TypeError || (away.yet && error instanceof assert.AssertionError && !error.message.includes("INTERNAL_ERROR"));
        if (!gone) throw error;
      }
  }
});

/** Waits for something that the others bring about; throws as soon as one of them does. */
async function until(reached: () => boolean, others: readonly Promise<void>[]): Promise<void> {
  let failed: { readonly error: unknown } | undefined;
  for (const other of others) other.catch((error: unknown) => (failed ??= { error }));
  while (!reached()) {
    if (failed !== undefined) throw failed.error;
    await pause(5);
  }
}
