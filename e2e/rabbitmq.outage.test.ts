import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { controlEngine } from "@kontor/platform/testing/engines.ts";
import { assertHealthy, restartAfterTests, openOutageShop, startTraffic } from "./outage-shop.ts";
import type { OutageShop } from "./outage-shop.ts";
import { onServers } from "./topologies.ts";

/** How long RabbitMQ is away. */
const awayMs = Number(process.env["KONTOR_AWAY_MS"] ?? 5_000);
/** How many orders must be placed meanwhile, at least. */
const orders = Number(process.env["KONTOR_ORDERS"] ?? 20);
/** In how long the first mail must come once RabbitMQ answers: ten seconds, and one pause between two tries to reach it. */
const mailWithinMs = 15_000;

describe("a shop whose RabbitMQ is killed", () => {
  let open: OutageShop;

  restartAfterTests("rabbitmq");
  before(async () => {
    open = await openOutageShop(onServers);
  });

  it("R11 I7 I13: orders go on, and each that is paid is confirmed by one mail when RabbitMQ is back", { timeout: 150_000 }, async (t) => {
    const { shop, shoppers } = open;
    const [first] = shoppers;
    const traffic = startTraffic(open);
    await traffic.more(orders, 20_000);
    await controlEngine("kill", "rabbitmq");
    const [placed] = await Promise.all([traffic.more(orders, 30_000), pause(awayMs)]);
    const newest = async (): Promise<string | undefined> =>
      (await first!.expect(200, "GET", `${shop.mailbox}/api/v1/messages?limit=1`)).body.messages[0]?.id;
    const before = await newest();
    const gathered = traffic.placed;
    await controlEngine("start", "rabbitmq");
    const backMs = performance.now();
    while ((await newest()) === before) {
      assert(performance.now() - backMs < mailWithinMs, "no mail came");
      await pause(20);
    }
    const mailMs = Math.round(performance.now() - backMs);
    await traffic.more(orders, 20_000);
    await traffic.stop();
    assert.deepEqual([...traffic.refused], []);
    t.diagnostic(
      `${orders} orders in ${placed} ms without RabbitMQ; ${gathered} of ${traffic.placed} before it was back; a mail ${mailMs} ms after`,
    );
    await assertHealthy(shop, traffic);
  });
});
