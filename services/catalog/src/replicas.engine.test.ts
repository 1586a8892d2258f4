import { randomUUID } from "node:crypto";
import { createRedisCache } from "@kontor/platform/cache/redis.ts";
import { connected } from "@kontor/platform/cache/test-redis-cache.ts";
import { deleteKeys } from "@kontor/platform/redis/test-redis.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { engineAddress } from "@kontor/platform/testing/engines.ts";
import { afterTests } from "@kontor/platform/testing/postgres.ts";
import { replicasContract } from "./replicas.contract.ts";

for (const [name, urls] of [
  ["Redis", [engineAddress("ENGINE_REDIS")]],
  ["a Redis cluster", engineAddress("ENGINE_REDIS_CLUSTER").split(",")],
] as const)
  replicasContract(name, {
    caches: true,
    open: async () => {
      const prefix = `test-${randomUUID()}`;
      afterTests(() => deleteKeys(urls, `{${prefix}*`));
      const open = async () => {
        const cache = createRedisCache({ urls, prefix, log, callTimeoutMs: 5_000 });
        afterTests(() => cache.stop());
        await cache.start();
        await connected(cache);
        return cache;
      };
      return [await open(), await open()];
    },
  });

const log: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (fields, message) => console.error(message, fields),
  error: (fields, message) => console.error(message, fields),
  child: () => log,
};
