import { sql } from "@kontor/platform/database/sql.ts";
import type { StreamPosition } from "@kontor/platform/events/log/log-facts.ts";
import { checkpointsOf } from "@kontor/platform/events/subscriptions/subscription-facts.ts";
import type { ServiceFacts } from "@kontor/platform/service/facts.ts";
import { stockEvents } from "./channels.ts";

/** The copy of a SKU's stock figures, and the position in inventory's log up to which it was read: `stream` is the SKU. */
export interface AvailabilityFact extends StreamPosition {
  readonly copied: boolean;
  readonly available: number;
  /** The stock's, 0 without a copy. */
  readonly version: number;
  /** Whether the SKU's next events are parked. */
  readonly parked: boolean;
}

export interface CatalogFacts {
  /** The SKUs that have a copy. */
  copiedSkus(after: string, limit: number): Promise<{ readonly id: string }[]>;
  /** Of each of these SKUs, whether it has a copy or not, as of one moment. */
  availability(skus: readonly string[]): Promise<AvailabilityFact[]>;
}

export const catalogFacts: ServiceFacts<CatalogFacts> = {
  service: "catalog",
  from: (catalog) => ({
    copiedSkus: (after, limit) => catalog.rows(sql`select sku as id from availability where sku > ${after} order by sku limit ${limit}`),
    async availability(skus) {
      const checkpoints = await checkpointsOf(catalog, stockEvents.name, skus);
      return catalog.rows(sql`
        select c.stream, c.epoch, c.xid, c.position::text as position, c.parked,
          a.sku is not null as copied, coalesce(a.available, 0) as available, coalesce(a.version, 0) as version
        from ${checkpoints} c left join availability a on a.sku = c.stream`);
    },
  }),
};
