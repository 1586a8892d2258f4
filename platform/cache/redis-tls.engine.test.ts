import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { engineAddress } from "../testing/engines.ts";
import { afterTests } from "../testing/postgres.ts";
import { openTlsServer, tlsFaults, writtenLog } from "../testing/test-tls-server.ts";
import type { TlsServer } from "../testing/test-tls-server.ts";
import { createRedisCache } from "./redis.ts";
import { openTlsCluster } from "./test-redis-tls.ts";
import { deleteKeys, reached } from "./test-redis.ts";

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
  await reached(cache);
  await cache.set("k", { n: 1 }, 60_000);
  assert.deepEqual(await cache.get("k"), { n: 1 });
  assert.equal((await cache.increment("c", 2, 60_000)).count, 2);
  const heard = Promise.withResolvers<unknown>();
  await cache.subscribe("news", heard.resolve);
  await cache.publish("news", "all encrypted");
  assert.equal(await heard.promise, "all encrypted");
}

describe("cache: Redis with TLS", () => {
  it("SEC-05: keeps, counts and tells over encrypted connections alone, trusting the authority that is named", async () => {
    const server = await openTlsServer(redis);
    const prefixes: string[] = [];
    for (const host of ["127.0.0.1", "localhost"]) {
      const opened = open([urlOf({ ...server, host }, "rediss")], server.ca);
      await works(opened);
      assert.deepEqual([opened.lines, server.passedBy()], [[], 0]);
      await opened.cache.stop();
      prefixes.push(opened.prefix);
    }
    for (const prefix of prefixes) await deleteKeys([redis], `{${prefix}*`);
  });

  it("SEC-05: does so with each node of a cluster", async () => {
    const nodes = engineAddress("ENGINE_REDIS_CLUSTER").split(",");
    const { urls, ca, passedBy } = await openTlsCluster(nodes);
    const opened = open(urls, ca);
    await works(opened);
    for (let n = 0; n < 50; n++) await opened.cache.set(`k${n}`, n, 60_000);
    assert.deepEqual([opened.lines, passedBy()], [[], 0]);
    await opened.cache.stop();
    await deleteKeys(nodes, `{${opened.prefix}*`);
  });

  for (const fault of tlsFaults)
    it(`SEC-05: tells a server nothing ${fault.name}, says why, and is as without Redis`, async () => {
      const { server, ca } = await fault.open(redis);
      const { cache, says, lines } = open([urlOf(server, "rediss")], ca);
      await cache.start();
      await says(fault.says);
      await cache.set("k", 1, 60_000);
      assert.equal(await cache.get("k"), undefined);
      await cache.stop();
      assert.deepEqual([lines.length, server.heard()], [1, 0]);
    });

  it("SEC-05: gets no answer in plain text where TLS is spoken", async () => {
    const server = await openTlsServer(redis);
    const { cache, says } = open([urlOf(server, "redis")], server.ca);
    await cache.start();
    await says(/Redis is away/);
    await cache.stop();
    assert.equal(server.heard(), 0);
  });
});
