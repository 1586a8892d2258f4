import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { openBrokerNoise } from "@kontor/platform/testing/broker-noise.ts";
import { assertHealthy, openOutageShop, startTraffic } from "./outage-shop.ts";
import type { OutageShop } from "./outage-shop.ts";
import { clusterOnServers } from "./topologies.ts";

/** How many times the subscribers' parts go to others, and how long they have them. */
const rebalances = Number(process.env["KONTOR_REBALANCES"] ?? 4);
const everyMs = Number(process.env["KONTOR_REBALANCE_MS"] ?? 5_000);
/** Whose process dies each time. */
const victims = ["orders-1", "notifications-2", "inventory-1", "catalog-2", "carts-1", "checkout-2"];

describe("events delivered again and again, in any order, to a cluster on Kafka", () => {
  let open: OutageShop;

  before(
    async () => {
      open = await openOutageShop(clusterOnServers(2));
    },
    { timeout: 180_000 },
  );

  it(
    "R18 I7 I8 I9: each comes one to five times, shuffled by 100, and subscribers come and go: each has its effect once",
    { timeout: 240_000 },
    async (t) => {
      const { shop } = open;
      const noise = openBrokerNoise(shop.environment["KONTOR_NAMESPACE"]!);
      const repeating = await noise.repeat({ timesMax: 4, window: 100 });
      let hurt = false;
      const traffic = startTraffic({ ...open, mayFail: (status) => hurt && (status === undefined || [202, 503, 504].includes(status)) });
      await traffic.more(10, 30_000);
      hurt = true;
      for (let nth = 0; nth < rebalances; nth++) await Promise.all([shop.killOne(victims[nth % victims.length]!), pause(everyMs)]);
      await traffic.more(10, 30_000);
      await traffic.stop();
      await assertHealthy(shop, traffic);
      await repeating.stop();
      t.diagnostic(
        `${traffic.placed} orders, ${repeating.events} events delivered ${repeating.repetitions} times more; refused: ${JSON.stringify([...traffic.refused])}`,
      );
      assert(repeating.repetitions >= repeating.events, "most events came more than once");
      await assertHealthy(shop, traffic);
    },
  );
});
