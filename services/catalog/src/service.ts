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
    const products = createProductCache(cache, (error) => log.warn({ error }, "the product cache could not be cleared; entries live a minute"));
    return {
      routes: [catalogRoute({ ...surroundings, index, products })],
      subscriptions: [availabilitySubscription((ids) => products.forget(ids.map((id) => ({ id })))), indexSubscription(surroundings)],
      queues: [indexQueueOf({ ...surroundings, index, indexed: () => products.forget([]) })],
    };
  },
};
