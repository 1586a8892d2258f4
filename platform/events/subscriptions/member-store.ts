import type { Database } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";

/** A process that runs subscriptions of a service. */
export interface Member {
  readonly owner: string;
  readonly subscriptions: readonly string[];
}

/** Registers this process as a member for `forMs` and returns all current members, in the same order for every member. */
export async function registerMember(database: Database, { owner, subscriptions }: Member, forMs: number): Promise<Member[]> {
  const others = await database.rows<Member>(sql`
    with own as (
      insert into subscription_members (owner, subscriptions, until)
      values (${owner}, ${subscriptions}::text[], now() + make_interval(secs => ${forMs / 1000}::float8))
      on conflict (owner) do update set until = excluded.until, subscriptions = excluded.subscriptions
    ), expired as (delete from subscription_members where until < now() - interval '1 minute' and owner <> ${owner})
    select owner, subscriptions from subscription_members where until > now() and owner <> ${owner}`);
  return [{ owner, subscriptions }, ...others].toSorted((a, b) => (a.owner < b.owner ? -1 : 1));
}

export async function removeMember(database: Database, owner: string): Promise<void> {
  await database.run(sql`delete from subscription_members where owner = ${owner}`);
}
