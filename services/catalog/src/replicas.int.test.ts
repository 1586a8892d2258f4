import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { createUnsharedCache } from "@kontor/platform/cache/unshared.ts";
import { replicasContract } from "./replicas.contract.ts";

replicasContract("one cache", {
  caches: true,
  open: async () => {
    const cache = createMemoryCache({ maxEntries: 1_000 });
    return [cache, cache];
  },
});

replicasContract("no cache to share", {
  caches: false,
  open: async () => [
    createUnsharedCache(createMemoryCache({ maxEntries: 1_000 })),
    createUnsharedCache(createMemoryCache({ maxEntries: 1_000 })),
  ],
});
