import { randomUUID } from "node:crypto";
import type { Logger } from "../telemetry/logger.ts";
import type { Cache, Kept, Lock, Versioned } from "./cache.ts";
import { createMemoryCache } from "./memory.ts";
import { RedisContact } from "./redis-contact.ts";
import { RedisMessages } from "./redis-messages.ts";
import { away } from "./redis-waiting.ts";
import {
  fillScript,
  incrementScript,
  leaseScript,
  lockScript,
  releaseScript,
  renewScript,
  replaceOlderScript,
  setScript,
} from "./redis-scripts.ts";

export interface RedisCacheOptions {
  /** One server, `redis://:password@host:6379/0`, or several of a cluster, which tell of the others; `rediss:` with TLS. */
  readonly urls: readonly string[];
  readonly log: Logger;
  /** Authorities that may have signed the certificates of servers with TLS, in PEM; those that Node.js trusts without them. */
  readonly ca?: string;
  /** Before all keys and channels: who shares a prefix shares a cache. "kontor" by default. */
  readonly prefix?: string;
  /** How long a call may take; 100 by default. After ten times that without an answer in time, Redis counts as away. */
  readonly callTimeoutMs?: number;
}

/** A cache with connections. */
export interface RedisCache extends Cache {
  /** Connects. Does not throw when Redis is away: that is logged, and looked after. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Over how many hash tags the keys of a cluster are spread. */
const clusterTags = 32;
/** How long what is being loaded may still be kept. */
const leaseMs = 10_000;
/** Longer than any lock that fences matter for. */
const fenceMs = 86_400_000;
const localEntriesMax = 50_000;

/**
 * A cache that many processes share, on one Redis server or a cluster, 6.2 or later. While Redis is away, every call ends at once (see
 * `RedisContact`): nothing is kept, counters and locks are this process's own, and messages reach this process only.
 *
 * All keys of a hash tag lie on one server of a cluster, with their tag's epoch, so that scripts may use them together. Throws when the
 * urls are not Redis's.
 */
export function createRedisCache({ urls, log, ca, prefix = "kontor", callTimeoutMs = 100 }: RedisCacheOptions): RedisCache {
  checkUrls(urls);
  const tags = urls.length === 1 ? [prefix] : Array.from({ length: clusterTags }, (_, tag) => `${prefix}:${tag}`);
  const epochs = tags.map((tag) => `{${tag}}:epoch`);
  const values = tags.map((tag) => `{${tag}}:v:`);
  const counters = tags.map((tag) => `{${tag}}:c:`);
  const locks = tags.map((tag) => `{${tag}}:l:`);
  const fences = tags.map((tag) => `{${tag}}:f:`);
  const local = createMemoryCache({ maxEntries: localEntriesMax });
  const own = randomUUID();
  let leases = 0;

  const contact = new RedisContact({
    urls,
    ca,
    tags,
    log,
    callTimeoutMs,
    renew: (link) => Promise.all(epochs.map((epoch, tag) => link.run(tag, renewScript, [epoch], [randomUUID()]))),
  });
  const messages = new RedisMessages({ urls, ca, log, callTimeoutMs });
  const tagOf = (key: string): number => (tags.length === 1 ? 0 : hashOf(key) % tags.length);

  const readKept = <Value>(key: string, json: string, fromJson: Kept<Value>["fromJson"]): { readonly value: Value } | undefined => {
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
    start: async () => void (await Promise.all([contact.start(), messages.start()])),
    stop: async () => void (await Promise.all([contact.stop(), messages.stop()])),

    async get<Value>(key: string) {
      const tag = tagOf(key);
      const json = jsonOf(await contact.call(tag, ["MGET", epochs[tag]!, values[tag]! + key]));
      return json === undefined ? undefined : (JSON.parse(json) as Value);
    },

    async set(key, value, ttlMs) {
      const tag = tagOf(key);
      const json = JSON.stringify(value);
      // The older value must not stay.
      if ((await contact.run(tag, setScript, [epochs[tag]!, values[tag]! + key], ["0", json, msOf(ttlMs)], true)) === away)
        await contact.settled();
    },

    async delete(...keys) {
      if (keys.length === 0) return;
      const byTag = Map.groupBy(keys, tagOf);
      const replies = await Promise.all(
        Array.from(byTag, ([tag, some]) =>
          contact.call(tag, ["DEL", ...some.map((key) => values[tag]! + key), ...some.map((key) => counters[tag]! + key)], true),
        ),
      );
      await local.delete(...keys);
      if (replies.includes(away)) await contact.settled();
    },

    async through<Value>(key: string, { ttlMs, version, toJson, fromJson }: Kept<Value>, load: () => Promise<Value | undefined>) {
      const tag = tagOf(key);
      const names = [epochs[tag]!, values[tag]! + key];
      let reply = await contact.call(tag, ["MGET", ...names]);
      let json = jsonOf(reply);
      let lease = leaseOf(reply);
      if (json === undefined && lease === undefined && reply !== away) {
        reply = await contact.run(tag, leaseScript, names, [`${own}-${leases++}`, String(leaseMs)]);
        json = jsonOf(reply);
        lease = leaseOf(reply);
      }
      const kept = json === undefined ? undefined : readKept(key, json, fromJson);
      if (kept !== undefined) return kept.value;
      const value = await load();
      if (value === undefined || lease === undefined) return value;
      const text = JSON.stringify(toJson === undefined ? value : toJson(value));
      const filled = await contact.run(tag, fillScript, names, [lease, String(version?.(value) ?? 0), text, msOf(ttlMs)]);
      const first = jsonOf(filled);
      return (first === undefined ? undefined : readKept(key, first, fromJson))?.value ?? value;
    },

    async replaceOlder(newer, ttlMs) {
      if (newer.length === 0) return;
      const replies = await Promise.all(
        Array.from(
          Map.groupBy(newer, ({ key }) => tagOf(key)),
          ([tag, some]) =>
            contact.run(
              tag,
              replaceOlderScript,
              [epochs[tag]!, ...some.map(({ key }) => values[tag]! + key)],
              versioned(some, ttlMs),
              true,
            ),
        ),
      );
      if (replies.includes(away)) await contact.settled();
    },

    async increment(key, by, ttlMs) {
      const tag = tagOf(key);
      const reply = await contact.run(tag, incrementScript, [counters[tag]! + key], [String(by), msOf(ttlMs)]);
      if (reply === away) return local.increment(key, by, ttlMs);
      const [count, expiresInMs] = reply as [number, number];
      return { count, expiresInMs };
    },

    async lock(key, ttlMs) {
      const tag = tagOf(key);
      const name = locks[tag]! + key;
      const reply = await contact.run(tag, lockScript, [name, fences[tag]! + key], [msOf(ttlMs), msOf(Math.max(fenceMs, ttlMs))]);
      if (reply === away) return local.lock(key, ttlMs);
      if (typeof reply !== "string") return undefined;
      return { fence: Number(reply), release: async () => void (await contact.run(tag, releaseScript, [name], [reply])) } satisfies Lock;
    },

    async publish(channel, message) {
      const name = `${prefix}:${channel}`;
      // Not waited for: it may be lost anyway.
      if (contact.up) void contact.call(tagOf(channel), ["PUBLISH", name, JSON.stringify(message)], true);
      else setImmediate(() => messages.deliver(name, message));
    },

    subscribe: (channel, heard) => messages.subscribe(`${prefix}:${channel}`, heard),
  };
}

function checkUrls(urls: readonly string[]): void {
  if (urls.length === 0) throw new Error("the cache needs the url of a Redis server: redis://host:6379");
  for (const url of urls) {
    const { protocol, pathname } = URL.canParse(url) ? new URL(url) : { protocol: "", pathname: "" };
    if (protocol !== "redis:" && protocol !== "rediss:") throw new Error("the cache's url must begin with redis:// or rediss://");
    if (urls.length > 1 && !["", "/", "/0"].includes(pathname))
      throw new Error("a Redis cluster has no database but 0: leave it out of the cache's urls");
  }
}

/** The JSON in a reply of the epoch and what is kept under a key, if it may be used. */
function jsonOf(reply: unknown): string | undefined {
  const [epoch, kept] = partsOf(reply);
  if (epoch === null || kept === null || kept[epoch.length] !== "|" || !kept.startsWith(epoch)) return undefined;
  return kept.slice(kept.indexOf("|", epoch.length + 1) + 1);
}

function leaseOf(reply: unknown): string | undefined {
  const [epoch, kept] = partsOf(reply);
  return epoch !== null && kept !== null && kept[epoch.length] === "?" && kept.startsWith(epoch) ? kept : undefined;
}

function partsOf(reply: unknown): readonly [string | null, string | null] {
  return reply === away ? [null, null] : (reply as [string | null, string | null]);
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
