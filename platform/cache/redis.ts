import { randomUUID } from "node:crypto";
import { checkRedisUrls } from "../redis/redis-client.ts";
import { runScript } from "../redis/redis-script.ts";
import type { Logger } from "../telemetry/logger.ts";
import { CacheConnection } from "./cache-connection.ts";
import type { Cache, Lock } from "./cache.ts";
import { createMemoryCache } from "./memory.ts";
import { unavailable } from "./pending-calls.ts";
import { redisKeys, ttlText } from "./redis-keys.ts";
import { incrementScript, lockScript, newEpochScript, releaseScript } from "./redis-scripts.ts";
import { RedisSubscriber } from "./redis-subscriber.ts";
import { redisValues } from "./redis-values.ts";

export interface RedisCacheOptions {
  /** One server, `redis://:password@host:6379/0`, or several nodes of a cluster, which name the others; `rediss:` with TLS. */
  readonly urls: readonly string[];
  readonly log: Logger;
  /** Authorities that may have signed the certificates of servers with TLS, in PEM; those that Node.js trusts without them. */
  readonly ca?: string;
  /** What all keys and channels begin with: processes with one prefix share a cache. "kontor" by default. */
  readonly prefix?: string;
  /** How long a call may take; 100 by default. After ten times that without a reply in time, Redis counts as unreachable. */
  readonly callTimeoutMs?: number;
}

/** A cache with connections. */
export interface RedisCache extends Cache {
  /** Connects. An unreachable Redis is logged, and connected to when it responds. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Longer than any lock that fences matter for. */
const fenceMs = 86_400_000;
const localEntriesMax = 50_000;

/**
 * A cache that many processes share, on one Redis server or a cluster, 6.2 or later. While Redis is unreachable, every call ends at once (see
 * `CacheConnection`): nothing is stored, counters and locks are this process's own, and messages are delivered within this process only.
 *
 * All keys of a hash tag are on one server of a cluster, with their tag's epoch, so that scripts may use them together. Throws when the
 * urls are not those of Redis.
 */
export function createRedisCache({ urls, log, ca, prefix = "kontor", callTimeoutMs = 100 }: RedisCacheOptions): RedisCache {
  checkRedisUrls(urls);
  const keys = redisKeys(prefix, urls.length > 1);
  const { tagOf, epochs, counters, locks, fences } = keys;
  const local = createMemoryCache({ maxEntries: localEntriesMax });

  const redis = new CacheConnection({
    urls,
    ca,
    log,
    callTimeoutMs,
    invalidate: ({ send }) => Promise.all(epochs.map((epoch) => runScript(send, newEpochScript, [epoch], [randomUUID()]))),
  });
  const subscriber = new RedisSubscriber({ urls, ca, log, callTimeoutMs });

  return {
    start: async () => void (await Promise.all([redis.start(), subscriber.start()])),
    stop: async () => void (await Promise.all([redis.stop(), subscriber.stop()])),

    ...redisValues({ redis, keys, log }),

    async increment(key, by, ttlMs) {
      const tag = tagOf(key);
      const [own, reply] = await Promise.all([
        local.increment(key, by, ttlMs),
        redis.run(incrementScript, [counters[tag]! + key], [String(by), ttlText(ttlMs)]),
      ]);
      if (reply === unavailable) return own;
      const [count, expiresInMs] = reply as [number, number];
      // Redis may have evicted it, or lost it in a failover: what this process has counted itself counts all the same.
      return own.count > count ? own : { count, expiresInMs };
    },

    async lock(key, ttlMs) {
      const tag = tagOf(key);
      const name = locks[tag]! + key;
      const reply = await redis.run(lockScript, [name, fences[tag]! + key], [ttlText(ttlMs), ttlText(Math.max(fenceMs, ttlMs))]);
      if (reply === unavailable) return local.lock(key, ttlMs);
      if (typeof reply !== "string") return undefined;
      return { fence: Number(reply), release: async () => void (await redis.run(releaseScript, [name], [reply])) } satisfies Lock;
    },

    async publish(channel, message) {
      const name = `${prefix}:${channel}`;
      // Not waited for: it may be lost anyway.
      if (redis.up) void redis.call(epochs[tagOf(channel)]!, ["PUBLISH", name, JSON.stringify(message)], { waitsWhileSuspect: true });
      else setImmediate(() => subscriber.deliver(name, message));
    },

    subscribe: (channel, listener) => subscriber.subscribe(`${prefix}:${channel}`, listener),
  };
}
