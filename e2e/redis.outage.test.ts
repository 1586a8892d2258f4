import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { createClient } from "@redis/client";
import { openRedisProxy } from "@kontor/platform/redis/test-redis.ts";
import type { RedisProxy } from "@kontor/platform/redis/test-redis.ts";
import { controlEngine, engineAddress } from "@kontor/platform/testing/engines.ts";
import { assertHealthy, restartAfterTests, openOutageShop, startTraffic } from "./outage-shop.ts";
import type { OutageShop, Traffic } from "./outage-shop.ts";
import { onServers } from "./topologies.ts";

/** How long Redis is away, or slow. */
const awayMs = Number(process.env["KONTOR_AWAY_MS"] ?? 2_000);
/** How many orders must be placed meanwhile, at least. */
const orders = Number(process.env["KONTOR_ORDERS"] ?? 20);
const slowMs = 500;

describe("a shop whose Redis is lost, emptied and slow", () => {
  let open: OutageShop;
  let proxy: RedisProxy;
  let traffic: Traffic;
  /** A token that was logged out of before anything happened. */
  let ended = "";

  restartAfterTests("redis");
  before(async () => {
    proxy = await openRedisProxy(engineAddress("ENGINE_REDIS"), `e2e_${randomBytes(6).toString("hex")}`);
    open = await openOutageShop(onServers, { KONTOR_CACHE: proxy.url });
    const [eve] = open.shoppers;
    ended = eve!.token!;
    await eve!.expect(204, "POST", "/v1/logout", { json: {} });
    await eve!.login();
    traffic = startTraffic(open);
    await traffic.more(orders, 20_000);
  });

  const assertEnded = async (): Promise<void> => {
    await open.shoppers[0]!.expect(401, "GET", "/v1/orders", { headers: { authorization: `Bearer ${ended}` } });
  };

  it("R14 ID-05: killed: orders go on, and who has logged out stays out", async (t) => {
    await assertEnded();
    await controlEngine("kill", "redis");
    await assertEnded();
    const [placed] = await Promise.all([traffic.more(orders, 20_000), pause(awayMs)]);
    await assertEnded();
    await controlEngine("start", "redis");
    await traffic.more(orders, 20_000);
    await assertEnded();
    t.diagnostic(`${orders} orders in ${placed} ms without Redis`);
  });

  it("R14 ID-05: emptied: the same", async (t) => {
    const client = await createClient({ url: engineAddress("ENGINE_REDIS") }).connect();
    await client.flushAll();
    client.destroy();
    await assertEnded();
    t.diagnostic(`${orders} orders in ${await traffic.more(orders, 20_000)} ms`);
    await assertEnded();
  });

  it(`R14: ${slowMs} ms slower: the same`, async (t) => {
    await proxy.slow(slowMs);
    const [placed] = await Promise.all([traffic.more(orders, 30_000), pause(awayMs)]);
    await assertEnded();
    await proxy.reopen();
    t.diagnostic(`${orders} orders in ${placed} ms with a slow Redis, in ${await traffic.more(orders, 20_000)} ms afterwards`);
  });

  it("R14: no order was refused meanwhile, and every invariant holds", { timeout: 120_000 }, async () => {
    await traffic.stop();
    assert.deepEqual([...traffic.refused], []);
    await assertHealthy(open.shop, traffic);
  });
});
