import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { asOperator } from "./operator.ts";
import { startShop } from "./shop-process.ts";
import type { ShopProcess } from "./shop-process.ts";
import type { Shopper } from "./shopper.ts";
import { assertDurable, orderAndPay, until } from "./acknowledged.ts";
import type { AcknowledgedOrder } from "./acknowledged.ts";
import type { Topology } from "./topologies.ts";

const kills = Number(process.env["KONTOR_KILLS"] ?? 3);

/** The load while the shop is killed. */
export interface ShopperLoad {
  readonly name: string;
  readonly shoppers: number;
  /** How many orders are to be paid between two kills. */
  readonly paidBetween: number;
}

export const aFew: ShopperLoad = { name: "a few shoppers", shoppers: Number(process.env["KONTOR_SHOPPERS"] ?? 6), paidBetween: 8 };
/** So many at once that what is executed in batches is executed in full ones, and every kill finds one under way. */
export const many: ShopperLoad = { name: "many shoppers at once", shoppers: 64, paidBetween: 64 };

/** Killed in the middle of orders. */
export function crashes(topology: Topology, { name, shoppers: shoppersCount, paidBetween }: ShopperLoad): void {
  describe(`killed in the middle of orders: ${topology.name}, ${name}`, () => {
    let shop: ShopProcess;
    let shoppers: Shopper[];
    let sku = "";

    before(async () => {
      shop = await startShop({}, topology);
      await asOperator(shop.environment, async (operator) => {
        shoppers = await operator.shoppers(shop, shoppersCount);
        [sku] = (await operator.products([100_000])) as [string];
      });
    });

    it(
      `R8 R9 R12 MSG-09 ORD-13 ORD-14 I10: after each of ${kills} kills, the last of PostgreSQL, every order that was under way is finished, once`,
      { timeout: 180_000 },
      async (t) => {
        const acknowledged = new Map<Shopper, AcknowledgedOrder[]>(shoppers.map((shopper) => [shopper, []]));
        const all = () => [...acknowledged.values()].flat();
        for (let round = 1; round <= kills; round++) {
          const away = { yet: false };
          const rounds = shoppers.map((shopper) => shopUntil(shopper, acknowledged.get(shopper)!, away));
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
        await assertDurable(acknowledged);
        const { code, output } = await shop.run(["verify"]);
        assert.equal(code, 0, output);
      },
    );

    /** Orders and pays, again and again, until the shop is killed. What fails because it is away is left as it is: its outcome is unknown. */
    async function shopUntil(shopper: Shopper, attempts: AcknowledgedOrder[], away: { readonly yet: boolean }): Promise<void> {
      while (!away.yet)
        try {
          await orderAndPay(shopper, sku, attempts);
        } catch (error) {
          // fetch says so when a connection breaks. A shop that has lost its PostgreSQL may still answer 202, 503 and 504.
          const gone =
            error instanceof TypeError || (away.yet && error instanceof assert.AssertionError && !error.message.includes("INTERNAL_ERROR"));
          if (!gone) throw error;
        }
    }
  });
}
