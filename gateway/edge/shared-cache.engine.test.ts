import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { openWatchedCache } from "@kontor/platform/cache/test-redis-cache.ts";
import { deleteKeys, openRedisProxy } from "@kontor/platform/redis/test-redis.ts";
import { engineAddress } from "@kontor/platform/testing/engines.ts";
import { afterTests } from "@kontor/platform/testing/postgres.ts";
import { parseRateLimits } from "./rate-limits.ts";
import { openApp, sharedCacheContract } from "./shared-cache.contract.ts";

const server = engineAddress("ENGINE_REDIS");

/** A prefix for the keys of this test alone. */
function newPrefix(): string {
  const prefix = `test-${randomUUID()}`;
  afterTests(() => flush(prefix));
  return prefix;
}

/** What FLUSHALL would do, for the keys under a prefix alone. */
const flush = (prefix: string): Promise<void> => deleteKeys([server], `{${prefix}}*`);

sharedCacheContract("redis", {
  open: async () => {
    const prefix = newPrefix();
    const caches = [await openWatchedCache([server], prefix), await openWatchedCache([server], prefix)] as const;
    return { caches, flush: () => flush(prefix) };
  },
});

describe("gateways whose Redis is unavailable", () => {
  it("ID-05, R14: sign-outs take effect at once for both, before, during and after; R14, S18: each gateway counts for itself meanwhile", async () => {
    const prefix = newPrefix();
    const proxy = await openRedisProxy(server, prefix);
    const caches = [await openWatchedCache([proxy.url], prefix), await openWatchedCache([proxy.url], prefix)] as const;
    await using app = await openApp({ caches }, undefined, parseRateLimits("50/h"));
    const [one, two, three] = [await app.tokenOf("ses_1"), await app.tokenOf("ses_2"), await app.tokenOf("ses_3")];
    const seen = async () => Promise.all([one, two, three].map((token) => Promise.all(app.me.map(async (me) => (await me(token)).status))));
    const [live, ended] = [
      [200, 200],
      [401, 401],
    ];
    assert.deepEqual(await seen(), [live, live, live]);
    await app.signOut(0, one);
    assert.deepEqual(await seen(), [ended, live, live]);

    await proxy.close();
    await Promise.all(caches.map((cache) => cache.logged(1)));
    assert.deepEqual(await seen(), [ended, live, live]);
    await app.signOut(1, two);
    assert.deepEqual(await seen(), [ended, ended, live]);
    for (const me of app.me) assert.match((await me(three)).headers.get("ratelimit") ?? "", /^"default";r=4\d;/);

    await proxy.reopen();
    await Promise.all(caches.map((cache) => cache.logged(2)));
    assert.deepEqual(await seen(), [ended, ended, live], "what Redis still stores of a session that has ended since is not used");
    await app.signOut(0, three);
    assert.deepEqual(await seen(), [ended, ended, ended]);
  });
});
