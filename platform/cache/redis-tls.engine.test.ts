import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { openTlsCluster } from "../redis/test-redis-tls.ts";
import { deleteKeys } from "../redis/test-redis.ts";
import { engineAddress } from "../testing/engines.ts";
import { afterTests } from "../testing/postgres.ts";
import { openTlsServer, tlsFaults, writtenLog } from "../testing/test-tls-server.ts";
import type { TlsServer } from "../testing/test-tls-server.ts";
import { createRedisCache } from "./redis.ts";
import { connected } from "./test-redis-cache.ts";

const redis = engineAddress("ENGINE_REDIS");

function urlOf({ host, port }: TlsServer, scheme: "redis" | "rediss"): string {
  const { username, password } = new URL(redis);
  return `${scheme}://${username}:${password}@${host}:${port}`;
}

function open(urls: readonly string[], ca: string | undefined) {
  const prefix = `test-${randomUUID()}`;
  const written = writtenLog();
  const cache = createRedisCache({ urls, prefix, log: written.log, callTimeoutMs: 5_000, ...(ca !== undefined && { ca }) });
  afterTests(() => cache.stop());
  return { cache, prefix, ...written };
}

async function works({ cache }: ReturnType<typeof open>): Promise<void> {
  await cache.start();
  await connected(cache);
  await cache.set("k", { n: 1 }, 60_000);
  assert.deepEqual(await cache.get("k"), { n: 1 });
  assert.equal((await cache.increment("c", 2, 60_000)).count, 2);
  const received = Promise.withResolvers<unknown>();
  await cache.subscribe("news", received.resolve);
  await cache.publish("news", "all encrypted");
  assert.equal(await received.promise, "all encrypted");
}

describe("cache: Redis with TLS", () => {
  it("SEC-05: stores, counts and publishes over encrypted connections alone, trusting the authority that is named", async () => {
    const server = await openTlsServer(redis);
    const prefixes: string[] = [];
    for (const host of ["127.0.0.1", "localhost"]) {
      const opened = open([urlOf({ ...server, host }, "rediss")], server.ca);
      await works(opened);
      assert.deepEqual([opened.lines, server.bypassed()], [[], 0]);
      await opened.cache.stop();
      prefixes.push(opened.prefix);
    }
    for (const prefix of prefixes) await deleteKeys([redis], `{${prefix}*`);
  });

  it("SEC-05: does so with each node of a cluster", async () => {
    const nodes = engineAddress("ENGINE_REDIS_CLUSTER").split(",");
    const { urls, ca, bypassed } = await openTlsCluster(nodes);
    const opened = open(urls, ca);
    await works(opened);
    for (let n = 0; n < 50; n++) await opened.cache.set(`k${n}`, n, 60_000);
    assert.deepEqual([opened.lines, bypassed()], [[], 0]);
    await opened.cache.stop();
    await deleteKeys(nodes, `{${opened.prefix}*`);
  });

  for (const fault of tlsFaults)
    it(`SEC-05: sends nothing to a server ${fault.name}, logs why, and works without Redis`, async () => {
      const { server, ca } = await fault.open(redis);
      const { cache, says, lines } = open([urlOf(server, "rediss")], ca);
      await cache.start();
      await says(fault.says);
      await cache.set("k", 1, 60_000);
      assert.equal(await cache.get("k"), undefined);
      await cache.stop();
      assert.deepEqual([lines.length, server.received()], [1, 0]);
    });

  it("SEC-05: gets no reply in plain text from a server with TLS", async () => {
    const server = await openTlsServer(redis);
    const { cache, says } = open([urlOf(server, "redis")], server.ca);
    await cache.start();
    await says(/Redis is unreachable/);
    await cache.stop();
    assert.equal(server.received(), 0);
  });
});
