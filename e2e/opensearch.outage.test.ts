import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { controlEngine, engineAddress } from "@kontor/platform/testing/engines.ts";
import { asOperator } from "./operator.ts";
import { assertHealthy, restartAfterTests, openOutageShop, startTraffic } from "./outage-shop.ts";
import type { OutageShop } from "./outage-shop.ts";
import { onServers } from "./topologies.ts";

/** How long OpenSearch is away. */
const awayMs = Number(process.env["KONTOR_AWAY_MS"] ?? 3_000);
/** How many orders must be placed meanwhile, at least. */
const orders = Number(process.env["KONTOR_ORDERS"] ?? 20);
/** In how long OpenSearch must know what it has missed. */
const healedWithinMs = 15_000;

describe("a shop whose OpenSearch is killed", () => {
  let open: OutageShop;

  restartAfterTests("opensearch");
  before(async () => {
    open = await openOutageShop(onServers);
  });

  it(
    "R15 RES-04 I12: orders and search go on, by the database; afterwards OpenSearch finds what it has missed",
    { timeout: 150_000 },
    async (t) => {
      const { shop, shoppers } = open;
      const [ada] = shoppers;
      const namespace = shop.environment["KONTOR_NAMESPACE"]!;
      /** The product's id, as soon as the shop finds it by its SKU. */
      const found = async (sku: string, withinMs: number): Promise<string> => {
        const startMs = performance.now();
        for (;;) {
          const { body } = await ada!.expect(200, "GET", `/v1/products?q=${encodeURIComponent(sku)}`);
          const product = body.items.find((item: { title: string }) => item.title === `Thing ${sku}`);
          if (product !== undefined) return product.id;
          assert(performance.now() - startMs < withinMs, `${sku} is not found`);
          await pause(20);
        }
      };
      const traffic = startTraffic(open);
      await traffic.more(orders, 20_000);
      await untilIndexed(namespace, await found(open.sku, 5_000), healedWithinMs);
      await controlEngine("kill", "opensearch");
      await found(open.sku, 5_000);
      const [missed] = (await asOperator(shop.environment, (operator) => operator.products([1]))) as [string];
      const product = await found(missed, 5_000);
      const [placed] = await Promise.all([traffic.more(orders, 20_000), pause(awayMs)]);
      await controlEngine("start", "opensearch");
      const healedMs = await untilIndexed(namespace, product, healedWithinMs);
      await found(missed, 1_000);
      await traffic.more(orders, 20_000);
      await traffic.stop();
      assert.deepEqual([...traffic.refused], []);
      t.diagnostic(`${orders} orders in ${placed} ms without OpenSearch; what it had missed was there ${healedMs} ms after it was back`);
      assert(shop.lines.some((line) => line.includes("the search engine is available again")));
      await assertHealthy(shop, traffic);
    },
  );
});

/** Waits until OpenSearch itself, asked past the shop, has the document; gives how many milliseconds that took. */
async function untilIndexed(namespace: string, id: string, withinMs: number): Promise<number> {
  const startMs = performance.now();
  const query = new URLSearchParams({ q: `id:${id}`, size: "0" });
  for (;;) {
    const response = await fetch(`${engineAddress("ENGINE_OPENSEARCH")}/${namespace}-*/_search?${String(query)}`);
    const { hits } = (await response.json()) as { readonly hits?: { readonly total: { readonly value: number } } };
    if ((hits?.total.value ?? 0) > 0) return Math.round(performance.now() - startMs);
    assert(performance.now() - startMs < withinMs, `OpenSearch does not have ${id}: ${response.status}`);
    await pause(50);
  }
}
