import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { assertHealthy, openOutageShop, startTraffic } from "./outage-shop.ts";
import type { OutageShop } from "./outage-shop.ts";
import { clusterOnServers } from "./topologies.ts";

/** How many of each service run. */
const replicas = Number(process.env["KONTOR_REPLICAS"] ?? 3);
/** Which of them are killed, one after the other. */
const victims = (process.env["KONTOR_VICTIMS"] ?? "notifications-1,orders-3,inventory-2,gateway-2").split(",");
/** How many orders must be placed before each kill, at least. */
const orders = Number(process.env["KONTOR_ORDERS"] ?? 10);

describe(`a cluster with ${replicas} of each service on real servers`, () => {
  let open: OutageShop;

  before(
    async () => {
      open = await openOutageShop(clusterOnServers(replicas));
    },
    { timeout: 180_000 },
  );

  it(
    `SCA-02 R9 R11 I7 I10: ${victims.join(", ")} are killed under orders: nothing acknowledged is lost, and the others go on meanwhile`,
    { timeout: 240_000 },
    async (t) => {
      const { shop } = open;
      let hurt = false;
      // What a killed process was at may be refused or, at a gateway, cut off; who asks again with the same key is answered.
      const traffic = startTraffic({ ...open, mayFail: (status) => hurt && (status === undefined || [202, 503, 504].includes(status)) });
      // The next dies while the last may still be starting again.
      const again: Promise<void>[] = [];
      for (const victim of victims) {
        await traffic.more(orders, 30_000);
        hurt = true;
        again.push(shop.killOne(victim));
        const meanwhileMs = await traffic.more(orders, 30_000);
        t.diagnostic(`${orders} orders in the ${meanwhileMs} ms after ${victim} was killed`);
      }
      await traffic.more(orders, 30_000);
      await traffic.stop();
      const refused = [...traffic.refused.values()].reduce((sum, count) => sum + count, 0);
      t.diagnostic(`${traffic.placed} orders, ${refused} times another answer: ${JSON.stringify([...traffic.refused])}`);
      assert(refused <= 0.1 * traffic.placed, "the others go on");
      await assertHealthy(shop, traffic);
    },
  );
});
