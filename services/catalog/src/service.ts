import type { ServiceDefinition } from "@kontor/platform/service/service.ts";
import { availabilitySubscription } from "./availability.ts";
import { createProductCache } from "./product-cache.ts";
import { indexQueueOf, indexSubscription } from "./product-index.ts";
import { catalogRoute } from "./rpc.ts";

export const catalog: ServiceDefinition = {
  name: "catalog",
  migrations: new URL("../migrations/", import.meta.url),
  create: (surroundings) => {
    const { cache, search, log } = surroundings;
    const index = search.index("products");
    const products = createProductCache(cache, (error) =>
      log.warn({ error }, "the product cache could not be cleared; its products live a minute"),
    );
    return {
      routes: [catalogRoute({ ...surroundings, index, products })],
      subscriptions: [
        availabilitySubscription((changed) => products.forget(changed)),
        indexSubscription({ ...surroundings, changed: (changed) => products.forget(changed) }),
      ],
      queues: [indexQueueOf({ ...surroundings, index, indexed: () => products.forget([]) })],
    };
  },
};
