import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { controlEngine } from "@kontor/platform/testing/engines.ts";
import { assertHealthy, restartAfterTests, openOutageShop, startTraffic } from "./outage-shop.ts";
import type { OutageShop } from "./outage-shop.ts";
import { onServers } from "./topologies.ts";

/** How long PostgreSQL is away, beside its own start; several for several times: 0,2000,15000. */
const awaysMs = (process.env["KONTOR_AWAY_MS"] ?? "2000").split(",").map(Number);
/** How many orders must be placed before and after, at least. */
const orders = Number(process.env["KONTOR_ORDERS"] ?? 20);
/** In how long the first order must go through once PostgreSQL answers. */
const backWithinMs = 5_000;
/** A task that was at work, or just sent, when its row could not be written is done again when its lease is over: that of a sent one lasts a minute. */
const mailsWithinMs = 75_000;

describe("a shop whose PostgreSQL server is killed", () => {
  let open: OutageShop;

  restartAfterTests("postgres-primary", "postgres-replica");
  before(async () => {
    open = await openOutageShop(onServers);
  });

  it(
    "R12 I10: nothing acknowledged is lost, what was unknown is found out with the same key, and the shop goes on by itself",
    { timeout: 150_000 },
    async (t) => {
      const { shop, shoppers } = open;
      const pid = shop.pid;
      let hurt = false;
      // No 500: a client that is told of a permanent fault does not retry. No broken connection either: the shop itself lives on.
      const traffic = startTraffic({ ...open, mayFail: (status) => hurt && (status === 503 || status === 504 || status === 202) });
      for (const awayMs of awaysMs) {
        await traffic.more(orders, 20_000);
        hurt = true;
        await controlEngine("kill", "postgres-primary");
        await pause(awayMs);
        const startMs = performance.now();
        await controlEngine("start", "postgres-primary");
        const startedMs = Math.round(performance.now() - startMs);
        const backMs = await traffic.more(1, backWithinMs);
        await traffic.more(orders, 20_000);
        t.diagnostic(`away for ${awayMs} ms and ${startedMs} ms of starting; the first order ${backMs} ms after it answered`);
      }
      await traffic.stop();
      t.diagnostic(`${traffic.placed} orders; refused: ${JSON.stringify([...traffic.refused])}`);
      assert.equal(shop.pid, pid, "the shop's process lives");
      await shoppers[0]!.expect(200, "GET", "/readyz");
      await assertHealthy(shop, traffic, mailsWithinMs);
    },
  );
});
