import { randomUUID } from "node:crypto";
import { createClient } from "@redis/client";
import { engineAddress } from "../testing/engines.ts";
import { documentsOutage } from "./documents-outage.contract.ts";
import { createRedisDocuments } from "./redis.ts";

const prefix = `test-${randomUUID()}`;

documentsOutage("redis", {
  process: "redis",
  durable: true,
  open: (log) => createRedisDocuments({ urls: [engineAddress("ENGINE_REDIS")], prefix, log, timeoutMs: 500 }),
  clean: async () => {
    const client = await createClient({ url: engineAddress("ENGINE_REDIS") }).connect();
    for await (const keys of client.scanIterator({ MATCH: `${prefix}:*`, COUNT: 1_000 })) if (keys.length > 0) await client.unlink(keys);
    client.destroy();
  },
});
