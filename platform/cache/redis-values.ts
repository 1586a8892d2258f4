import { randomUUID } from "node:crypto";
import type { Logger } from "../telemetry/logger.ts";
import type { CacheConnection } from "./cache-connection.ts";
import type { Cache, ThroughOptions, Versioned } from "./cache.ts";
import { unavailable } from "./pending-calls.ts";
import { ttlText } from "./redis-keys.ts";
import type { RedisKeys } from "./redis-keys.ts";
import { fillScript, leaseScript, replaceOlderScript, setScript } from "./redis-scripts.ts";

export interface RedisValuesInit {
  readonly redis: CacheConnection;
  readonly keys: RedisKeys;
  readonly log: Logger;
}

export type CachedValues = Pick<Cache, "get" | "set" | "delete" | "through" | "replaceOlder">;

/** How long a value that is being loaded may still be stored. */
const leaseMs = 10_000;
const whileSuspect = { waitsWhileSuspect: true } as const;

/** The cache's values. A value is usable only with the epoch that its tag has; writes wait while Redis is suspect. */
export function redisValues({ redis, keys, log }: RedisValuesInit): CachedValues {
  const { tagOf, epochs, values } = keys;
  const own = randomUUID();
  let leases = 0;

  /** What is stored under the names of an epoch and a value: the value's JSON, or a lease to fill it, ours or another's; neither when Redis is unavailable. */
  const readOrLease = async (names: readonly [string, string]) => {
    let reply = await redis.call(names[0], ["MGET", ...names]);
    if (reply !== unavailable && jsonOf(reply) === undefined && leaseOf(reply) === undefined)
      reply = await redis.run(leaseScript, names, [`${own}-${leases++}`, String(leaseMs)]);
    return { json: jsonOf(reply), lease: leaseOf(reply) };
  };

  return {
    async get<Value>(key: string) {
      const tag = tagOf(key);
      const json = jsonOf(await redis.call(epochs[tag]!, ["MGET", epochs[tag]!, values[tag]! + key]));
      return json === undefined ? undefined : (JSON.parse(json) as Value);
    },

    async set(key, value, ttlMs) {
      const tag = tagOf(key);
      const json = JSON.stringify(value);
      const reply = await redis.run(setScript, [epochs[tag]!, values[tag]! + key], ["0", json, ttlText(ttlMs)], whileSuspect);
      // The older value must not stay.
      if (reply === unavailable) await redis.invalidated();
    },

    async delete(...removed) {
      if (removed.length === 0) return;
      const byTag = Map.groupBy(removed, tagOf);
      const replies = await Promise.all(
        Array.from(byTag, ([tag, some]) => redis.call(epochs[tag]!, ["DEL", ...some.map((key) => values[tag]! + key)], whileSuspect)),
      );
      if (replies.includes(unavailable)) await redis.invalidated();
    },

    async through<Value>(key: string, { ttlMs, version, toJson, fromJson }: ThroughOptions<Value>, load: () => Promise<Value | undefined>) {
      const tag = tagOf(key);
      const names = [epochs[tag]!, values[tag]! + key] as const;
      const { json, lease } = await readOrLease(names);
      const stored = json === undefined ? undefined : readStored(log, key, json, fromJson);
      if (stored !== undefined) return stored.value;
      const value = await load();
      if (value === undefined || lease === undefined) return value;
      const text = JSON.stringify(toJson === undefined ? value : toJson(value));
      const filled = await redis.run(fillScript, names, [lease, String(version?.(value) ?? 0), text, ttlText(ttlMs)]);
      const first = jsonOf(filled);
      return (first === undefined ? undefined : readStored(log, key, first, fromJson))?.value ?? value;
    },

    async replaceOlder(newer, ttlMs) {
      if (newer.length === 0) return;
      const replies = await Promise.all(
        Array.from(
          Map.groupBy(newer, ({ key }) => tagOf(key)),
          ([tag, some]) =>
            redis.run(
              replaceOlderScript,
              [epochs[tag]!, ...some.map(({ key }) => values[tag]! + key)],
              versioned(some, ttlMs),
              whileSuspect,
            ),
        ),
      );
      if (replies.includes(unavailable)) await redis.invalidated();
    },
  };
}

function readStored<Value>(
  log: Logger,
  key: string,
  json: string,
  fromJson: ThroughOptions<Value>["fromJson"],
): { readonly value: Value } | undefined {
  const parsed: unknown = JSON.parse(json);
  if (fromJson === undefined) return { value: parsed as Value };
  try {
    return { value: fromJson(parsed) };
  } catch (error) {
    log.warn({ error, key }, "a cached value cannot be read; it is loaded instead");
    return undefined;
  }
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
  return [ttlText(ttlMs), ...values.flatMap(({ version, value }) => [String(version), JSON.stringify(value)])];
}
