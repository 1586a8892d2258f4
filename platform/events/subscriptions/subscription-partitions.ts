import type { Database } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import { partName, partOf, partOfStream } from "./partition-name.ts";
import { comparePlaces, laterPlace } from "../position.ts";
import type { Stand } from "../position.ts";
import { recordsLeft } from "../transport/log-progress.ts";

/**
 * Gives a subscription a row for each of `parts` parts. They begin where the subscription stands, so that nothing is applied again, and take over
 * what it has parked; whoever held its lease has lost it. When it has parts already nothing changes. Gives how many it has.
 */
export async function splitSubscription(database: Database, name: string, parts: number): Promise<number> {
  return database.transaction(async (tx) => {
    const row = await tx.one<{ parts: number }>(sql`select parts from subscriptions where name = ${name} for update`);
    if (row.parts > 0) return row.parts;
    const names = Array.from({ length: parts }, (_, part) => partName(name, part));
    await tx.run(sql`
      insert into subscriptions (name, publisher, epoch, xid, position)
      select n.name, s.publisher, s.epoch, s.xid, s.position from subscriptions s cross join unnest(${names}::text[]) as n (name)
      where s.name = ${name}`);
    await tx.run(sql`
      update subscriptions set parts = ${parts}, fence = fence + 1, lease_owner = null, lease_until = null where name = ${name}`);
    const parked = await tx.rows<{ stream: string }>(sql`select distinct stream from parked_events where subscription = ${name}`);
    const streams = parked.map(({ stream }) => stream);
    await tx.run(sql`
      update parked_events p set subscription = s.part
      from unnest(${streams}::text[], ${streams.map((stream) => partName(name, partOfStream(stream, parts)))}::text[]) as s (stream, part)
      where p.subscription = ${name} and p.stream = s.stream`);
    return parts;
  });
}

/** Thrown when a subscription cannot become whole yet. */
export class PartsBehind extends Error {
  constructor(name: string) {
    super(
      `${name} has been reading its events from a broker and has not applied all that was relayed: its parts stand at different places. ` +
        `Start the shop once more with the broker in KONTOR_EVENTS, stop it when nothing is under way, and then go on without`,
    );
    this.name = "PartsBehind";
  }
}

/**
 * Makes a subscription whole again, so that it can read the log itself: at the place up to which all has been relayed and every part has passed it.
 * Throws `PartsBehind` when one has not, or has gone further: part of what follows would be applied twice.
 */
export async function joinSubscription(database: Database, name: string, relayed: Stand | undefined): Promise<void> {
  await database.transaction(async (tx) => {
    const rows = await tx.rows<Stand & { readonly name: string }>(sql`
      select name, epoch, xid, position::text as position, mark from subscriptions where split_part(name, '#', 1) = ${name} for update`);
    const parts = rows.filter((row) => partOf(row.name) !== undefined);
    const whole = rows.find((row) => row.name === name);
    if (whole === undefined || parts.length === 0) return;
    // Parts that never moved stand where they began, which is the place of the whole.
    if (parts.some((row) => comparePlaces(row, whole) !== 0)) {
      if (relayed === undefined) throw new PartsBehind(name);
      for (const row of parts)
        if (comparePlaces(row, relayed) > 0 || (comparePlaces(row, relayed) < 0 && recordsLeft(row, partOf(row.name)!, relayed) > 0))
          throw new PartsBehind(name);
    }
    const to = relayed === undefined || parts.every((row) => comparePlaces(row, whole) === 0) ? whole : laterPlace(whole, relayed);
    await tx.run(sql`
      update subscriptions s set parts = 0, fence = fence + 1, lease_owner = null, lease_until = null, mark = '',
        epoch = ${to.epoch}::int, xid = ${to.xid}::xid8, position = ${to.position}::bigint,
        applied = s.applied + p.applied, skipped = s.skipped + p.skipped
      from (
        select sum(applied)::bigint as applied, sum(skipped)::bigint as skipped
        from subscriptions where split_part(name, '#', 1) = ${name} and name <> ${name}
      ) p where s.name = ${name}`);
    await tx.run(
      sql`update parked_events set subscription = ${name} where split_part(subscription, '#', 1) = ${name} and subscription <> ${name}`,
    );
    await tx.run(sql`delete from subscriptions where split_part(name, '#', 1) = ${name} and name <> ${name}`);
  });
}
