import { createRedisCache } from "@kontor/platform/cache/redis.ts";
import { connected } from "@kontor/platform/cache/test-redis-cache.ts";
import { flushDatabase } from "@kontor/platform/redis/test-redis.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { engineAddress } from "@kontor/platform/testing/engines.ts";
import { afterTests } from "@kontor/platform/testing/postgres.ts";
import { stockCountsContract } from "./stock-counts.contract.ts";

// A database of its own on the server: it is flushed, and the first is others' too.
const url = Object.assign(new URL(engineAddress("ENGINE_REDIS")), { pathname: "/12" }).href;

stockCountsContract("Redis", {
  operations: Number(process.env["KONTOR_COUNT_OPERATIONS"] ?? 1_000),
  open: async () => {
    await flushDatabase(url);
    const open = async () => {
      const cache = createRedisCache({ urls: [url], log, callTimeoutMs: 5_000 });
      afterTests(() => cache.stop());
      await cache.start();
      await connected(cache);
      return cache;
    };
    return { caches: [await open(), await open()], flush: () => flushDatabase(url) };
  },
});

const log: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (fields, message) => console.error(message, fields),
  error: (fields, message) => console.error(message, fields),
  child: () => log,
};
