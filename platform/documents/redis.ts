import { crc32 } from "node:zlib";
import { refuse } from "../errors/refusal.ts";
import { redisScript, runScript } from "../redis/redis-script.ts";
import type { RedisScript } from "../redis/redis-script.ts";
import type { Logger } from "../telemetry/logger.ts";
import { collectionName } from "./documents.ts";
import type { Collection, DocumentsServer } from "./documents.ts";
import { RedisConnection } from "./redis-connection.ts";

export interface RedisDocumentsOptions {
  /** `redis://` or `rediss://`: one server, or several nodes of a cluster. */
  readonly urls: readonly string[];
  /** Authorities that may have signed the certificates of servers with TLS, in PEM; those that Node.js trusts without them. */
  readonly ca?: string;
  /** What all keys begin with; "kontor" by default. */
  readonly prefix?: string;
  readonly log: Logger;
  /** How long a reply may take, in ms; 2,000 by default. Longer outlasts short stalls, shorter frees callers sooner. */
  readonly timeoutMs?: number;
}

/**
 * A document and its entry in the index of expiries must be in the same slot of a cluster, to be written together. One slot for a whole
 * collection would put it on one server, so it is divided into buckets. Changing their number would lose every document.
 */
const buckets = 256;
const sweptAtOnce = 500;

const put = redisScript(`
  local version = tonumber(redis.call('hget', KEYS[1], 'version') or 0)
  if version ~= tonumber(ARGV[1]) then return -1 - version end
  redis.call('hset', KEYS[1], 'version', ARGV[5], 'body', ARGV[2], 'expiresAt', ARGV[3])
  if ARGV[3] ~= '' then
    -- Only so that nothing stays for ever where nothing is swept: the server's clock does not decide what has expired. The caller's may be behind.
    local time = redis.call('time')
    local from = math.max(tonumber(ARGV[3]), tonumber(time[1]) * 1000)
    redis.call('pexpireat', KEYS[1], string.format('%.0f', from + 86400000))
    redis.call('zadd', KEYS[2], ARGV[3], ARGV[4])
  elseif version > 0 then
    redis.call('persist', KEYS[1])
    redis.call('zrem', KEYS[2], ARGV[4])
  end
  return tonumber(ARGV[5])`);

/** KEYS[1] is the index of expiries and KEYS[n] the document with the id ARGV[n]. */
const sweepBucket = redisScript(`
  local swept = 0
  for n = 2, #KEYS do
    -- Checked again, because it may have been prolonged since it was found.
    local expiresAt = redis.call('zscore', KEYS[1], ARGV[n])
    if expiresAt and tonumber(expiresAt) <= tonumber(ARGV[1]) then
      redis.call('zrem', KEYS[1], ARGV[n])
      swept = swept + redis.call('del', KEYS[n])
    end
  end
  return swept`);

const deleteFromBucket = redisScript(`
  for n = 2, #KEYS do
    redis.call('zrem', KEYS[1], ARGV[n])
    redis.call('del', KEYS[n])
  end
  return 0`);

/**
 * Documents in Redis, single or cluster: a hash each, and sorted sets of expiry times. Each `get` and `put` is one round trip.
 *
 * Redis must be durable (`appendonly yes`, `maxmemory-policy noeviction`; `start` warns when it is not). Even so a confirmed write is lost when
 * the master dies before its replica, or the disk within the next second, has got it: for carts, not for orders.
 */
export function createRedisDocuments({ urls, ca, prefix = "kontor", log, timeoutMs }: RedisDocumentsOptions): DocumentsServer {
  collectionName(prefix);
  const redis = new RedisConnection({ urls, ca, log, ...(timeoutMs !== undefined && { timeoutMs }) });
  return {
    collection: (name) => createCollection(redis, `${prefix}:{${collectionName(name)}.`),
    start: () => redis.start(),
    stop: () => redis.stop(),
    ready: () => redis.ready,
  };
}

function createCollection<Body extends object>({ send }: RedisConnection, keyPrefix: string): Collection<Body> {
  /** The key of a bucket's index of expiries. A document's key is this, ":" and its id. */
  const expiries = (bucket: number) => `${keyPrefix}${bucket}}`;
  const bucketOf = (id: string) => crc32(id) % buckets;
  const run = async (script: RedisScript, keys: readonly string[], args: readonly string[]) =>
    Number(await runScript(send, script, keys, args));

  return {
    async get(id, now) {
      const key = `${expiries(bucketOf(id))}:${id}`;
      const [version, body, expiry] = (await send(key, ["HMGET", key, "version", "body", "expiresAt"])) as (string | null)[];
      if (typeof version !== "string" || typeof body !== "string") return undefined;
      const expiresAt = typeof expiry === "string" && expiry !== "" ? new Date(Number(expiry)) : undefined;
      if (expiresAt !== undefined && expiresAt <= now) return undefined;
      return { id, version: Number(version), body: JSON.parse(body) as Body, expiresAt };
    },

    async put(id, body, { expectedVersion, expiresAt, startsAt = 1 }) {
      const index = expiries(bucketOf(id));
      const expiry = expiresAt === undefined ? "" : String(expiresAt.getTime());
      const next = expectedVersion === 0 ? startsAt : expectedVersion + 1;
      const written = await run(put, [`${index}:${id}`, index], [String(expectedVersion), JSON.stringify(body), expiry, id, String(next)]);
      if (written > 0) return written;
      throw refuse({ reason: "VERSION_CONFLICT", code: "aborted", details: { version: -1 - written } });
    },

    async delete(...ids) {
      await Promise.all(
        Array.from(Map.groupBy(ids, bucketOf), ([bucket, inIt]) =>
          run(deleteFromBucket, [expiries(bucket), ...inIt.map((id) => `${expiries(bucket)}:${id}`)], ["", ...inIt]),
        ),
      );
    },

    async sweep(now) {
      const until = String(now.getTime());
      const swept = await Promise.all(
        Array.from({ length: buckets }, async (_, bucket) => {
          const index = expiries(bucket);
          for (let removed = 0; ;) {
            const command = ["ZRANGEBYSCORE", index, "-inf", until, "LIMIT", "0", String(sweptAtOnce)];
            const ids = (await send(index, command)) as string[];
            if (ids.length === 0) return removed;
            removed += await run(sweepBucket, [index, ...ids.map((id) => `${index}:${id}`)], [until, ...ids]);
            if (ids.length < sweptAtOnce) return removed;
          }
        }),
      );
      return swept.reduce((sum, removed) => sum + removed, 0);
    },
  };
}
