import type { Database } from "@kontor/platform/database/database.ts";
import { readYourWrites } from "@kontor/platform/database/read-your-writes.ts";
import type { ReadYourWrites } from "@kontor/platform/database/read-your-writes.ts";
import type { Service, ServiceContext } from "@kontor/platform/service/service.ts";
import { availabilitySubscription } from "./availability.ts";
import { createProductCache } from "./product-cache.ts";
import type { ProductCache } from "./product-cache.ts";
import { indexQueueOf, indexSubscription, rebuildQueueOf, rebuildWhenLost } from "./product-index.ts";
import { listsKey } from "./list-products.ts";
import { catalogRoute } from "./rpc.ts";

/** The service with its routes, subscriptions and task queues. */
export function createService(context: ServiceContext): Service {
  const { cache, search, log } = context;
  const index = search.index("products", rebuildWhenLost(context));
  const own = readYourWrites(context);
  const cached = createProductCache(cache, (error) =>
    log.warn({ error }, "the product cache could not be cleared; its products live a minute"),
  );
  const products = showingChanges(context.database, cached, own);
  const indexing = { ...context, index, indexed: () => void products.forget([]) };
  return {
    routes: [catalogRoute({ ...context, index, products, own })],
    subscriptions: [
      // A replica's stock figures may be a little older: they decide nothing.
      availabilitySubscription((changed) => void cached.forget(changed)),
      indexSubscription({ ...context, changed: (changed) => void products.forget(changed) }),
    ],
    queues: [indexQueueOf(indexing), rebuildQueueOf(indexing)],
  };
}

/** Lists may be loaded into the cache from a read replica: their change is recorded before the cached ones are deleted. */
function showingChanges(database: Database, cached: ProductCache, own: ReadYourWrites): ProductCache {
  if (database.replicaLagMs === 0) return cached;
  return {
    ...cached,
    forget: async (products) => {
      await own.written(listsKey);
      await cached.forget(products);
    },
  };
}
