import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { controlEngine } from "@kontor/platform/testing/engines.ts";
import { assertHealthy, restartAfterTests, openOutageShop, startTraffic } from "./outage-shop.ts";
import type { OutageShop } from "./outage-shop.ts";
import { onServers } from "./topologies.ts";

/** How long Kafka is away. */
const awayMs = Number(process.env["KONTOR_AWAY_MS"] ?? 5_000);
/** How many orders must be placed meanwhile, at least. */
const orders = Number(process.env["KONTOR_ORDERS"] ?? 20);
/** In how long all that has gathered must have arrived. */
const drainedWithinMs = 60_000;

describe("a shop whose Kafka is killed", () => {
  let open: OutageShop;

  restartAfterTests("kafka");
  before(async () => {
    open = await openOutageShop(onServers);
  });

  it(
    "R10 I8: orders are taken and paid for all the time, none is refused; what gathers arrives when Kafka is back",
    { timeout: 150_000 },
    async (t) => {
      const traffic = startTraffic(open);
      await traffic.more(orders, 20_000);
      await controlEngine("kill", "kafka");
      const [placed] = await Promise.all([traffic.more(orders, 30_000), pause(awayMs)]);
      const gathered = traffic.placed;
      await controlEngine("start", "kafka");
      const backMs = performance.now();
      await traffic.more(orders, 20_000);
      await traffic.stop();
      assert.deepEqual([...traffic.refused], []);
      for (const [shopper, acknowledged] of traffic.acknowledged)
        for (const { order, paid, cancelled } of acknowledged) if (paid && cancelled === "no") await shopper.until(order!.id, "PAID");
      const drainedMs = Math.round(performance.now() - backMs);
      t.diagnostic(
        `${orders} orders in ${placed} ms without Kafka; ${gathered} of ${traffic.placed} orders before it was back; drained after ${drainedMs} ms`,
      );
      assert(drainedMs <= drainedWithinMs, `${drainedMs} ms`);
      await assertHealthy(open.shop, traffic);
    },
  );
});
