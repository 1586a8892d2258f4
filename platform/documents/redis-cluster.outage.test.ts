import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { createClient, createCluster, ErrorReply } from "@redis/client";
import { engineAddress } from "../testing/engines.ts";
import { documentsOutage } from "./documents-outage.contract.ts";
import { createRedisDocuments } from "./redis.ts";

const prefix = `test-${randomUUID()}`;
const urls = () => engineAddress("ENGINE_REDIS_CLUSTER").split(",");

documentsOutage("redis cluster", {
  process: "redis-cluster-1",
  cluster: true,
  // An earlier test may have left it a replica, whose loss has no effect.
  prepare: async () => {
    const first = await createClient({ url: urls()[0]! }).connect();
    const isMaster = async () => (await first.sendCommand<string[]>(["ROLE"]))[0] === "master";
    while (!(await isMaster())) {
      // Rejected, or ended without effect, as long as it has not copied everything.
      await first.sendCommand(["CLUSTER", "FAILOVER"]).catch((error: unknown) => assert(error instanceof ErrorReply));
      await pause(500);
    }
    first.destroy();
  },
  open: (log) => createRedisDocuments({ urls: urls(), prefix, log, timeoutMs: 500 }),
  clean: async () => {
    const client = createCluster({ rootNodes: urls().map((url) => ({ url })) });
    await client.connect();
    for (const master of client.masters) {
      const node = await client.nodeClient(master);
      for await (const keys of node.scanIterator({ MATCH: `${prefix}:*`, COUNT: 1_000 })) for (const key of keys) await node.unlink(key);
    }
    client.destroy();
  },
});
