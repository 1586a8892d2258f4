import { randomUUID } from "node:crypto";
import { checkRedisUrls } from "../redis/redis-client.ts";
import { runScript } from "../redis/redis-script.ts";
import type { Logger } from "../telemetry/logger.ts";
import { CacheConnection } from "./cache-connection.ts";
import type { Cache, Lock, ThroughOptions, Versioned } from "./cache.ts";
import { createMemoryCache } from "./memory.ts";
import { unavailable } from "./pending-calls.ts";
import {
  fillScript,
  incrementScript,
  leaseScript,
  lockScript,
  newEpochScript,
  releaseScript,
  replaceOlderScript,
  setScript,
} from "./redis-scripts.ts";
import { RedisSubscriber } from "./redis-subscriber.ts";

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

/** Over how many hash tags the keys of a cluster are spread. */
const clusterTags = 32;
/** How long a value that is being loaded may still be stored. */
const leaseMs = 10_000;
/** Longer than any lock that fences matter for. */
const fenceMs = 86_400_000;
const localEntriesMax = 50_000;

/**
 * A cache that many processes share, on one Redis server or a cluster, 6.2 or later. While Redis is unreachable, every call ends at once (see
 * `CacheConnection`): nothing is stored, counters and locks are this process's own, and messages reach this process only.
 *
 * All keys of a hash tag are on one server of a cluster, with their tag's epoch, so that scripts may use them together. Throws when the
 * urls are not those of Redis.
 */
export function createRedisCache({ urls, log, ca, prefix = "kontor", callTimeoutMs = 100 }: RedisCacheOptions): RedisCache {
  checkRedisUrls(urls);
  const tags = urls.length === 1 ? [prefix] : Array.from({ length: clusterTags }, (_, tag) => `${prefix}:${tag}`);
  const epochs = tags.map((tag) => `{${tag}}:epoch`);
  const values = tags.map((tag) => `{${tag}}:v:`);
  const counters = tags.map((tag) => `{${tag}}:c:`);
  const locks = tags.map((tag) => `{${tag}}:l:`);
  const fences = tags.map((tag) => `{${tag}}:f:`);
  const local = createMemoryCache({ maxEntries: localEntriesMax });
  const own = randomUUID();
  let leases = 0;

  const redis = new CacheConnection({
    urls,
    ca,
    log,
    callTimeoutMs,
    invalidate: ({ send }) => Promise.all(epochs.map((epoch) => runScript(send, newEpochScript, [epoch], [randomUUID()]))),
  });
  const subscriber = new RedisSubscriber({ urls, ca, log, callTimeoutMs });
  const tagOf = (key: string): number => (tags.length === 1 ? 0 : hashOf(key) % tags.length);

  const readStored = <Value>(
    key: string,
    json: string,
    fromJson: ThroughOptions<Value>["fromJson"],
  ): { readonly value: Value } | undefined => {
    const parsed: unknown = JSON.parse(json);
    if (fromJson === undefined) return { value: parsed as Value };
    try {
      return { value: fromJson(parsed) };
    } catch (error) {
      log.warn({ error, key }, "a cached value cannot be read; it is loaded instead");
      return undefined;
    }
  };

  return {
    start: async () => void (await Promise.all([redis.start(), subscriber.start()])),
    stop: async () => void (await Promise.all([redis.stop(), subscriber.stop()])),

    async get<Value>(key: string) {
      const tag = tagOf(key);
      const json = jsonOf(await redis.call(epochs[tag]!, ["MGET", epochs[tag]!, values[tag]! + key]));
      return json === undefined ? undefined : (JSON.parse(json) as Value);
    },

    async set(key, value, ttlMs) {
      const tag = tagOf(key);
      const json = JSON.stringify(value);
      // The older value must not stay.
      if (
        (await redis.run(setScript, [epochs[tag]!, values[tag]! + key], ["0", json, msOf(ttlMs)], { waitsWhileSuspect: true })) ===
        unavailable
      )
        await redis.invalidated();
    },

    async delete(...keys) {
      if (keys.length === 0) return;
      const byTag = Map.groupBy(keys, tagOf);
      const replies = await Promise.all(
        Array.from(byTag, ([tag, some]) =>
          redis.call(epochs[tag]!, ["DEL", ...some.map((key) => values[tag]! + key), ...some.map((key) => counters[tag]! + key)], {
            waitsWhileSuspect: true,
          }),
        ),
      );
      await local.delete(...keys);
      if (replies.includes(unavailable)) await redis.invalidated();
    },

    async through<Value>(key: string, { ttlMs, version, toJson, fromJson }: ThroughOptions<Value>, load: () => Promise<Value | undefined>) {
      const tag = tagOf(key);
      const names = [epochs[tag]!, values[tag]! + key];
      let reply = await redis.call(epochs[tag]!, ["MGET", ...names]);
      let json = jsonOf(reply);
      let lease = leaseOf(reply);
      if (json === undefined && lease === undefined && reply !== unavailable) {
        reply = await redis.run(leaseScript, names, [`${own}-${leases++}`, String(leaseMs)]);
        json = jsonOf(reply);
        lease = leaseOf(reply);
      }
      const stored = json === undefined ? undefined : readStored(key, json, fromJson);
      if (stored !== undefined) return stored.value;
      const value = await load();
      if (value === undefined || lease === undefined) return value;
      const text = JSON.stringify(toJson === undefined ? value : toJson(value));
      const filled = await redis.run(fillScript, names, [lease, String(version?.(value) ?? 0), text, msOf(ttlMs)]);
      const first = jsonOf(filled);
      return (first === undefined ? undefined : readStored(key, first, fromJson))?.value ?? value;
    },

    async replaceOlder(newer, ttlMs) {
      if (newer.length === 0) return;
      const replies = await Promise.all(
        Array.from(
          Map.groupBy(newer, ({ key }) => tagOf(key)),
          ([tag, some]) =>
            redis.run(replaceOlderScript, [epochs[tag]!, ...some.map(({ key }) => values[tag]! + key)], versioned(some, ttlMs), {
              waitsWhileSuspect: true,
            }),
        ),
      );
      if (replies.includes(unavailable)) await redis.invalidated();
    },

    async increment(key, by, ttlMs) {
      const tag = tagOf(key);
      const reply = await redis.run(incrementScript, [counters[tag]! + key], [String(by), msOf(ttlMs)]);
      if (reply === unavailable) return local.increment(key, by, ttlMs);
      const [count, expiresInMs] = reply as [number, number];
      return { count, expiresInMs };
    },

    async lock(key, ttlMs) {
      const tag = tagOf(key);
      const name = locks[tag]! + key;
      const reply = await redis.run(lockScript, [name, fences[tag]! + key], [msOf(ttlMs), msOf(Math.max(fenceMs, ttlMs))]);
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

/** The JSON in a reply of the epoch and what is stored under a key, when it carries the epoch. */
function jsonOf(reply: unknown): string | undefined {
  const [epoch, stored] = epochAndStored(reply);
  if (epoch === null || stored === null || stored[epoch.length] !== "|" || !stored.startsWith(epoch)) return undefined;
  return stored.slice(stored.indexOf("|", epoch.length + 1) + 1);
}

function leaseOf(reply: unknown): string | undefined {
  const [epoch, stored] = epochAndStored(reply);
  return epoch !== null && stored !== null && stored[epoch.length] === "?" && stored.startsWith(epoch) ? stored : undefined;
}

function epochAndStored(reply: unknown): readonly [string | null, string | null] {
  return reply === unavailable ? [null, null] : (reply as [string | null, string | null]);
}

function versioned(values: readonly Versioned[], ttlMs: number): string[] {
  return [msOf(ttlMs), ...values.flatMap(({ version, value }) => [String(version), JSON.stringify(value)])];
}

/** A time to live as Redis takes it: whole, and more than none. */
function msOf(ttlMs: number): string {
  return String(Math.max(1, Math.ceil(ttlMs)));
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}
