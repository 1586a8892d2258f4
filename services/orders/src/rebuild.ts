import { equals, fromBinary } from "@bufbuild/protobuf";
import { OrderPlacedSchema, OrderStateSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { moneyFrom } from "@kontor/contracts/money.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { joinLastEvent } from "@kontor/platform/events/log/log-facts.ts";
import type { Comparison, ServiceRebuild } from "@kontor/platform/service/rebuild.ts";

export const ordersRebuild: ServiceRebuild = { compares: "orders", compare: compareOrders };

interface ComparedRow {
  readonly id: string;
  readonly version: number | null;
  readonly status: string | null;
  readonly customer: string | null;
  readonly currency: string | null;
  readonly total: bigint | null;
  readonly payment: string | null;
  readonly state: Uint8Array | null;
  readonly event_version: number | null;
  readonly data: Uint8Array | null;
}

/**
 * Compares the next orders after an id with what the last events of their streams say, each page as of one moment. Gives what differs, as
 * sentences, and the last id; undefined when there are no more.
 */
async function compareOrders(queries: Queries, after: string, limit: number): Promise<Comparison | undefined> {
  const rows = await queries.rows<ComparedRow>(sql`
    with ids as (
      select id from (
        (select id from orders where id > ${after} order by id limit ${limit})
        union
        (select stream as id from events where stream > ${after} and version = 1 order by stream limit ${limit})
      ) as both_sides order by id limit ${limit}
    )
    select ids.id, o.version, o.status, o.customer, o.currency, o.total, o.payment, o.state, e.version as event_version, e.data
    from ids left join orders o on o.id = ids.id ${joinLastEvent(sql`ids.id`)}
    order by ids.id`);
  if (rows.length === 0) return undefined;
  return { last: rows.at(-1)!.id, compared: rows.length, differences: rows.flatMap((row) => differenceOf(row) ?? []) };
}

function differenceOf(row: ComparedRow): string | undefined {
  const { id, version, status, state, event_version: eventVersion, data } = row;
  if (state === null) return `${id} is not stored, and has events`;
  // The tombstone of an order that was voided before it was placed.
  if (status === "VOID") return data === null ? undefined : `${id} is void, and has events`;
  if (data === null) return `${id} is stored as ${status}, and has no events`;
  if (version !== eventVersion) return `${id} is stored as version ${version}, and its last event is version ${eventVersion}`;
  // All events of an order have it in the same field.
  const { order } = fromBinary(OrderPlacedSchema, data);
  if (order === undefined || !equals(OrderStateSchema, order, fromBinary(OrderStateSchema, state)))
    return `${id} is not stored as its last event says`;
  const { currency, minor } = moneyFrom(order.total!);
  const same =
    OrderStatus[order.status] === status &&
    order.customer === row.customer &&
    order.payment === row.payment &&
    currency === row.currency &&
    minor === row.total;
  return same ? undefined : `${id} has other columns than its last event says`;
}
