import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { joinLastEvent } from "@kontor/platform/events/log/log-facts.ts";
import type { Comparison, ServiceRebuild } from "@kontor/platform/service/rebuild.ts";
import { policyOf, stockOfEvent } from "./stock-messages.ts";
import type { Policy } from "./stock.ts";

export const inventoryRebuild: ServiceRebuild = { compares: "SKUs", compare: compareStock };

interface ComparedRow {
  readonly sku: string;
  readonly on_hand: number | null;
  readonly reserved: number | null;
  readonly version: number | null;
  readonly policy: Policy | null;
  readonly event_version: number | null;
  readonly type: string | null;
  readonly data: Uint8Array | null;
  readonly moved: number;
}

/**
 * Compares the stock of the next SKUs after one with what the last events of their streams say, and with the sum of their movements, each page
 * as of one moment. Gives what differs, as sentences, and the last SKU; undefined when there are no more.
 */
async function compareStock(queries: Queries, after: string, limit: number): Promise<Comparison | undefined> {
  // A claim that was refused is in the order's stream, and no SKU's.
  const rows = await queries.rows<ComparedRow>(sql`
    with skus as (
      select sku from (
        (select sku from stock where sku > ${after} order by sku limit ${limit})
        union
        (select stream as sku from events where stream > ${after} and version = 1 and type <> 'inventory.claim.refused' order by stream limit ${limit})
      ) as both_sides order by sku limit ${limit}
    )
    select skus.sku, s.on_hand, s.reserved, s.version, s.policy, e.version as event_version, e.type, e.data, coalesce(m.moved, 0)::float8 as moved
    from skus left join stock s on s.sku = skus.sku ${joinLastEvent(sql`skus.sku`)}
    left join lateral (select sum(quantity) as moved from movements where sku = skus.sku) m on true
    order by skus.sku`);
  if (rows.length === 0) return undefined;
  return { last: rows.at(-1)!.sku, compared: rows.length, differences: rows.flatMap((row) => differenceOf(row) ?? []) };
}

function differenceOf({
  sku,
  on_hand: onHand,
  reserved,
  version,
  policy,
  event_version: eventVersion,
  type,
  data,
  moved,
}: ComparedRow): string | undefined {
  if (onHand === null) return `${sku} is not stored, and has events`;
  if (onHand !== moved) return `${sku} has ${onHand} units stored, and its movements sum to ${moved}`;
  // A row is inserted before its first movement.
  if (type === null || data === null)
    return version === 0 && onHand === 0 && reserved === 0 ? undefined : `${sku} is stored as version ${version}, and has no events`;
  if (version !== eventVersion) return `${sku} is stored as version ${version}, and its last event is version ${eventVersion}`;
  const stock = stockOfEvent(type, data);
  if (stock === undefined) return `${sku} has an event ${type}, which is none of a SKU's`;
  if (policyOf(stock) !== policy) return `${sku} is stored as ${policy}, and its last event says ${policyOf(stock)}`;
  if (stock.onHand === onHand && stock.reserved === reserved && stock.version === version) return undefined;
  return `${sku} has ${onHand} units and ${reserved} of them reserved, and its last event says ${stock.onHand} and ${stock.reserved}`;
}
