import type { Database } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";

/** A process that takes part in subscriptions. */
export interface Member {
  readonly owner: string;
  readonly subscriptions: readonly string[];
}

/** Says that this process takes part for so long, and gives all that do, in one order for all. */
export async function noteMember(database: Database, { owner, subscriptions }: Member, forMs: number): Promise<Member[]> {
  const others = await database.rows<Member>(sql`
    with mine as (
      insert into subscription_members (owner, subscriptions, until)
      values (${owner}, ${subscriptions}::text[], now() + make_interval(secs => ${forMs / 1000}::float8))
      on conflict (owner) do update set until = excluded.until, subscriptions = excluded.subscriptions
    ), gone as (delete from subscription_members where until < now() - interval '1 minute' and owner <> ${owner})
    select owner, subscriptions from subscription_members where until > now() and owner <> ${owner}`);
  return [{ owner, subscriptions }, ...others].toSorted((a, b) => (a.owner < b.owner ? -1 : 1));
}

export async function removeMember(database: Database, owner: string): Promise<void> {
  await database.run(sql`delete from subscription_members where owner = ${owner}`);
}

/**
 * How many parts of a subscription a member should hold. All members' shares add up to all parts; `nth` is the subscription's number, so that not
 * always the same ones get the odd part.
 */
export function fairShare(parts: number, members: readonly string[], owner: string, nth: number): number {
  const count = Math.max(1, members.length);
  const rank = Math.max(0, members.indexOf(owner));
  return Math.floor(parts / count) + ((rank + nth) % count < parts % count ? 1 : 0);
}
