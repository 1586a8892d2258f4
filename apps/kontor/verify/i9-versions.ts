import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Place } from "@kontor/platform/events/place.ts";
import { partName, partOfStream } from "@kontor/platform/events/partitions.ts";
import { knownSubscriptions } from "./known-subscriptions.ts";
import type { KnownSubscription } from "./known-subscriptions.ts";
import { hasEvents } from "./i8-applied.ts";
import type { Breach, Invariant, Look } from "./invariant.ts";
import { byId, pages } from "./pages.ts";
import { stockOfEvent } from "./read-event.ts";

const eventsAtOnce = 20_000;
const skusAtOnce = 1_000;

/**
 * What can be seen of it afterwards. That versions rise when they are applied is enforced there: the log gives a stream's events in order
 * (checked here), a subscription's place only moves forward, and a stream with a parked event parks all that follows (checked here). The one
 * copy that is kept from events, catalog's availability, must be that of the last event up to the place.
 */
export const versionsInvariant: Invariant = {
  id: "I9",
  title: "logs give each stream's versions 1..n in order, nothing overtakes a parked event, and copies are of the last version applied",
  counts: "events",
  async *check(look) {
    for (const [service, database] of look.databases) if (hasEvents(service)) yield* streamsInOrder(look, service, database);
    yield* overtakenParked(look);
    yield* availabilityCopies(look);
  },
};

interface Cursor {
  readonly stream: string;
  readonly version: number;
}

/** Pages overlap by one event, so that each has its predecessor beside it. */
async function* streamsInOrder(look: Look, service: string, log: Queries): AsyncGenerator<Breach> {
  for (let after: Cursor = { stream: "", version: 0 }; ;) {
    const { wrong, found, stream, version } = await log.one<{
      wrong: readonly Cursor[] | null;
      found: number;
      stream: string | null;
      version: number | null;
    }>(sql`
      with page as (
        select stream, version, epoch, xid, position from events
        where (stream, version) >= (${after.stream}, ${after.version}::int) order by stream, version limit ${eventsAtOnce}
      ), beside as (
        select stream, version, row_number() over (order by stream, version) as nth, lag(stream) over w as stream_before, lag(version) over w as version_before,
          (epoch, xid, position) > (lag(epoch) over w, lag(xid) over w, lag(position) over w) as later
        from page window w as (order by stream, version)
      ), last as (select stream, version from page order by stream desc, version desc limit 1)
      select (select count(*) from page)::int as found, (select stream from last) as stream, (select version from last) as version,
        (select jsonb_agg(jsonb_build_object('stream', stream, 'version', version)) from beside
          where (nth > 1 or ${after.stream} = '') and case when stream_before is distinct from stream then version <> 1 else version <> version_before + 1 or not later end
        ) as wrong`);
    for (const one of wrong ?? [])
      yield {
        about: `${service} ${one.stream}`,
        text: `version ${one.version} of ${one.stream} in ${service}'s log does not follow on the one before it`,
      };
    look.looked(after.stream === "" ? found : found - 1);
    if (found < eventsAtOnce || stream === null || version === null) return;
    after = { stream, version };
  }
}

/** Behind a parked event its stream waits: whatever of it is in the log up to the place must be parked too, or have been skipped. */
async function* overtakenParked(look: Look): AsyncGenerator<Breach> {
  for (const { name: subscription, subscriber, publisher, types } of knownSubscriptions) {
    if (!look.databases.has(subscriber) || !look.databases.has(publisher)) continue;
    // Where events come over a broker each part has a row, a place and parked events of its own.
    const found = await look
      .of(subscriber)
      .rows<{ name: string }>(sql`select name from subscriptions where split_part(name, '#', 1) = ${subscription}`);
    for (const { name } of found) yield* overtakenIn(look, { name, subscriber, publisher, types });
  }
}

async function* overtakenIn(look: Look, { name, subscriber, publisher, types }: KnownSubscription): AsyncGenerator<Breach> {
  const rows = await look.of(subscriber).rows<
    Place & { stream: string; first: number; parked: number; in_order: boolean; skipped: number }
  >(sql`
      select p.stream, p.first, p.parked, p.in_order, s.epoch, s.xid, s.position::text as position,
        (select sum(skipped) from subscriptions where split_part(name, '#', 1) = split_part(s.name, '#', 1))::float8 as skipped
      from subscriptions s join (
        select subscription, stream, min(version) as first, count(*)::int as parked, bool_and(rising) as in_order
        from (
          select subscription, stream, version,
            coalesce(version > lag(version) over (partition by subscription, stream order by epoch, xid, position), true) as rising
          from parked_events where subscription = ${name}
        ) ordered group by subscription, stream
      ) p on p.subscription = s.name limit 10000`);
  if (rows.length === 0) return;
  const streams = rows.map(({ stream }) => stream);
  const place = rows[0]!;
  const due = byId(
    await look.of(publisher).rows<{ id: string; due: number }>(sql`
        select w.stream as id, count(*)::int as due
        from unnest(${streams}::text[], ${rows.map(({ first }) => first)}::int[]) as w (stream, first)
        join events e on e.stream = w.stream and e.version >= w.first
        where e.type = any(${types}::text[]) and (e.epoch, e.xid, e.position) <= (${place.epoch}::int, ${place.xid}::xid8, ${place.position}::bigint)
        group by w.stream`),
  );
  const missing = rows.filter(({ stream, parked, in_order }) => !in_order || (due.get(stream)?.due ?? 0) !== parked);
  // An operator may have skipped some from the middle of a stream; which, nobody has noted.
  const count = missing.reduce(
    (sum, { stream, parked, in_order }) => sum + (in_order ? (due.get(stream)?.due ?? 0) - parked : Infinity),
    0,
  );
  if (count >= 0 && count <= place.skipped) return;
  for (const { stream, first, parked } of missing)
    yield {
      about: `${name} ${stream}`,
      text: `${name} has parked ${parked} events of ${stream} from version ${first} on, and the log has ${due.get(stream)?.due ?? 0} up to its place`,
    };
}

interface Copy extends Place {
  readonly id: string;
  readonly copied: boolean;
  readonly available: number;
  readonly version: number;
  readonly parked: boolean;
}

async function* availabilityCopies(look: Look): AsyncGenerator<Breach> {
  if (!look.databases.has("catalog")) return;
  const readStock = (after: string, limit: number) =>
    look
      .of("inventory")
      .rows<{ id: string }>(sql`select sku as id from stock where version > 0 and sku > ${after} order by sku limit ${limit}`);
  for await (const page of pages(readStock, ({ id }) => id, skusAtOnce))
    yield* compareCopies(
      look,
      page.map(({ id }) => id),
    );
  const readCopies = (after: string, limit: number) =>
    look.of("catalog").rows<{ id: string }>(sql`select sku as id from availability where sku > ${after} order by sku limit ${limit}`);
  for await (const page of pages(readCopies, ({ id }) => id, skusAtOnce)) {
    const known = byId(
      await look
        .of("inventory")
        .rows<{ id: string }>(sql`select sku as id from stock where sku = any(${page.map(({ id }) => id)}::text[])`),
    );
    for (const { id } of page)
      if (!known.has(id)) yield { about: id, text: `catalog has a copy of the stock of SKU ${id}, which inventory does not know` };
  }
}

const availability = "catalog.availability";

/** A copy and its subscription's place are of one moment, and the log up to that place does not change any more. */
async function* compareCopies(look: Look, skus: readonly string[]): AsyncGenerator<Breach> {
  const row = await look.of("catalog").maybe<{ parts: number }>(sql`select parts from subscriptions where name = ${availability}`);
  const parts = row?.parts ?? 0;
  const readers = skus.map((sku) => (parts === 0 ? availability : partName(availability, partOfStream(sku, parts))));
  const rows = await look.of("catalog").rows<Copy>(sql`
    select w.sku as id, a.sku is not null as copied, coalesce(a.available, 0) as available, coalesce(a.version, 0) as version,
      s.epoch, s.xid, s.position::text as position,
      exists (select from parked_events p where p.subscription = s.name and p.stream = w.sku) as parked
    from unnest(${skus}::text[], ${readers}::text[]) as w (sku, reader)
    join subscriptions s on s.name = w.reader left join availability a on a.sku = w.sku`);
  const events = byId(
    await look.of("inventory").rows<{ id: string; version: number; type: string; data: Uint8Array }>(sql`
      select w.sku as id, e.version, e.type, e.data
      from unnest(
        ${rows.map(({ id }) => id)}::text[], ${rows.map(({ epoch }) => epoch)}::int[], ${rows.map(({ xid }) => xid)}::xid8[],
        ${rows.map(({ position }) => position)}::bigint[]
      ) as w (sku, epoch, xid, position) cross join lateral (
        select version, type, data from events
        where stream = w.sku and (epoch, xid, position) <= (w.epoch, w.xid, w.position)
        order by version desc limit 1
      ) e`),
  );
  for (const { id, copied, available, version, parked } of rows) {
    const event = events.get(id);
    if (parked || (event === undefined && !copied)) continue;
    if (event === undefined || event.version !== version)
      yield { about: id, text: `catalog's copy of SKU ${id} is of version ${version}, the last applied is ${event?.version ?? 0}` };
    else {
      const stock = stockOfEvent(event.type, event.data);
      if (stock?.available !== available)
        yield {
          about: id,
          text: `catalog says that ${available} of SKU ${id} are available, version ${version} of its stock says ${stock?.available ?? "nothing"}`,
        };
    }
  }
}
