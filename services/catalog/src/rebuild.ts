import { equals, fromBinary } from "@bufbuild/protobuf";
import { ProductSchema, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { ProductUpdatedSchema } from "@kontor/contracts/gen/kontor/catalog/v1/events_pb.js";
import type { Database, Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { joinLastEvent } from "@kontor/platform/events/log/log-facts.ts";
import { resetSubscription } from "@kontor/platform/events/subscriptions/reset-subscription.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { Comparison, ServiceRebuild } from "@kontor/platform/service/rebuild.ts";
import type { Tasks } from "@kontor/platform/tasks/tasks.ts";
import { stockEvents } from "./channels.ts";
import { addRebuild } from "./product-index.ts";

/** The search index is rebuilt while the old one is searched; the copy of the stock figures is emptied first. */
export const catalogRebuild: ServiceRebuild = {
  compares: "products",
  compare: compareProducts,
  refill: async (service, call) => {
    const products = await rebuildIndex(service, call);
    await rebuildAvailability(service.database);
    return `search index rebuilt with ${products.toLocaleString("en")} products; stock figures read again`;
  },
};

/** Adds the task that rebuilds the search index with all products; gives how many there are. */
async function rebuildIndex(service: { readonly database: Database; readonly tasks: Tasks }, call: Call): Promise<number> {
  // The correlation distinguishes this rebuild from earlier ones: a queue makes no second task with a key that it knows.
  await addRebuild(service, call, `requested/${call.correlation}`);
  const { count } = await service.database.one<{ count: number }>(sql`select count(*)::int as count from products`);
  return count;
}

/** Empties the copy of inventory's figures; the subscription then reads them again from the beginning of inventory's log. */
async function rebuildAvailability(database: Database): Promise<void> {
  await resetSubscription(database, stockEvents.name, async (tx) => void (await tx.run(sql`delete from availability`)));
}

interface ComparedRow {
  readonly id: string;
  readonly version: number | null;
  readonly status: string | null;
  readonly handle: string | null;
  readonly state: Uint8Array | null;
  readonly skus: readonly string[];
  readonly event_version: number | null;
  readonly type: string | null;
  readonly data: Uint8Array | null;
}

/**
 * Compares the next products after an id with what the last events of their streams say, each page as of one moment. Gives what differs, as
 * sentences, and the last id; undefined when there are no more.
 */
async function compareProducts(queries: Queries, after: string, limit: number): Promise<Comparison | undefined> {
  const rows = await queries.rows<ComparedRow>(sql`
    with ids as (
      select id from (
        (select id from products where id > ${after} order by id limit ${limit})
        union
        (select stream as id from events where stream > ${after} and stream like 'prd\\_%' and version = 1 order by stream limit ${limit})
      ) as both_sides order by id limit ${limit}
    )
    select ids.id, p.version, p.status, p.handle, p.state, e.version as event_version, e.type, e.data,
      array(select sku from variants where product = ids.id order by sku) as skus
    from ids left join products p on p.id = ids.id ${joinLastEvent(sql`ids.id`)}
    order by ids.id`);
  if (rows.length === 0) return undefined;
  return { last: rows.at(-1)!.id, compared: rows.length, differences: rows.flatMap((row) => differenceOf(row) ?? []) };
}

function differenceOf({
  id,
  version,
  status,
  handle,
  state,
  skus,
  event_version: eventVersion,
  type,
  data,
}: ComparedRow): string | undefined {
  if (type === null || data === null) return `${id} is stored, and has no events`;
  const deleted = type === "catalog.product.deleted";
  if (state === null) return deleted ? undefined : `${id} is not stored, and its last event is ${type}`;
  if (deleted) return `${id} is stored, and its last event is ${type}`;
  if (version !== eventVersion) return `${id} is stored as version ${version}, and its last event is version ${eventVersion}`;
  // All events of a product have it in the same field.
  const { product } = fromBinary(ProductUpdatedSchema, data);
  if (product === undefined || !equals(ProductSchema, product, fromBinary(ProductSchema, state)))
    return `${id} is not stored as its last event says`;
  const same = ProductStatus[product.status] === status && product.handle === handle;
  if (!same) return `${id} has another status or handle in its columns than in its last event`;
  const variants = product.variants.map(({ sku }) => sku).toSorted();
  return variants.join(" ") === [...skus].toSorted().join(" ")
    ? undefined
    : `${id} has the SKUs ${skus.join(", ")} stored, and ${variants.join(", ")} in its last event`;
}
