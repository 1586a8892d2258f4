import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { stockCountsContract } from "./stock-counts.contract.ts";

stockCountsContract("memory", {
  operations: 300,
  open: async () => {
    const cache = createMemoryCache({ maxEntries: 1_000 });
    const flush = () => cache.delete(...Array.from({ length: 8 }, (_, nth) => `stock:S${nth}`));
    return { caches: [cache, cache], flush };
  },
});
