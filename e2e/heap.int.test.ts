import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { openTestShop } from "@kontor/kontor/verify/test-shop.ts";
import type { TestShop } from "@kontor/kontor/verify/test-shop.ts";
import { heapUsed } from "@kontor/platform/testing/heap-used.ts";

// The short form of npm run soak: the same question, asked of an app in this process, without a clock.

const warmUpOrders = 100;
const orders = 300;
/** One answer kept for every order would be 2,400 more; what still warms up after the first hundred is 700. */
const bytesPerOrderMax = 1_800;

describe("the heap", () => {
  let shop: TestShop;

  before(async () => {
    shop = await openTestShop({ "heap-1": 100_000, "heap-2": 100_000 });
  });

  it(`DEV-13: is after ${orders} orders what it was before them`, async () => {
    await sell(warmUpOrders);
    const before = await heapUsed();
    await sell(orders);
    const grown = (await heapUsed()) - before;
    assert.ok(grown < orders * bytesPerOrderMax, `${Math.round(grown / orders)} bytes stay for each order`);
  });

  async function sell(count: number): Promise<void> {
    for (let sold = 0; sold < count; sold += 10) {
      await Promise.all(
        Array.from({ length: 10 }, async (_, at) => {
          const order = await shop.place([
            { sku: "heap-1", quantity: 1 },
            { sku: "heap-2", quantity: 2 },
          ]);
          // No more declines than an account has without a pause.
          if (at < 8) await shop.pay(order, sold % 100 === 0 && at === 0 ? "decline" : "approve");
          else await shop.cancel(order);
        }),
      );
      await shop.settle();
    }
  }
});
