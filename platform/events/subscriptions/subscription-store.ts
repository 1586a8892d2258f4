import type { Database, Queries } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import { checkpointOf } from "../checkpoint.ts";
import type { Checkpoint } from "../checkpoint.ts";
import { relayName } from "../log/relay-checkpoint.ts";
import { comparePositions } from "../position.ts";
import { baseName, partitionOf } from "./partition-name.ts";

/** Registers subscriptions; a new one starts at the beginning of its publisher's log. Returns the number of partitions of each by name: 0 without a broker. */
export async function registerSubscriptions(
  database: Database,
  subscriptions: readonly { readonly name: string; readonly publisher: string }[],
): Promise<ReadonlyMap<string, number>> {
  const names = subscriptions.map(({ name }) => name);
  const publishers = subscriptions.map(({ publisher }) => publisher);
  await database.run(sql`
    insert into subscriptions (name, publisher) select * from unnest(${names}::text[], ${publishers}::text[])
    on conflict (name) do nothing`);
  const rows = await database.rows<{ name: string; partitions: number }>(
    sql`select name, partitions from subscriptions where name = any (${names}::text[])`,
  );
  return new Map(rows.map(({ name, partitions }) => [name, partitions]));
}

/** The row of a subscription or of one partition, and how many events it has parked. */
export interface SubscriptionRow extends Checkpoint {
  readonly name: string;
  readonly fence: bigint;
  readonly publisher: string;
  readonly applied: number;
  readonly skipped: number;
  readonly parked: number;
}

/** A subscription with the rows of its partitions: none when it reads the whole log. */
export interface SubscriptionTotals extends SubscriptionRow {
  readonly partitions: readonly PartitionRow[];
}

export interface PartitionRow extends SubscriptionRow {
  readonly partition: number;
}

/** All subscriptions of a service, by name. One that has partitions has the sums of their counters and the earliest of their checkpoints. */
export async function subscriptionRows(queries: Queries): Promise<SubscriptionTotals[]> {
  const rows = await queries.rows<SubscriptionRow>(sql`
    select name, publisher, fence, epoch, xid, position::text as position, offsets, applied::float8 as applied, skipped::float8 as skipped,
      (select count(*) from parked_events p where p.subscription = s.name)::float8 as parked
    from subscriptions s where name <> ${relayName} order by name`);
  const partitions = Map.groupBy(
    rows.flatMap((row) => {
      const partition = partitionOf(row.name);
      return partition === undefined ? [] : [{ ...row, partition }];
    }),
    ({ name }) => baseName(name),
  );
  return rows.filter(({ name }) => partitionOf(name) === undefined).map((row) => totals(row, partitions.get(row.name) ?? []));
}

function totals(row: SubscriptionRow, partitions: readonly PartitionRow[]): SubscriptionTotals {
  const all = [row, ...partitions];
  const sum = (of: (row: SubscriptionRow) => number) => all.reduce((total, each) => total + of(each), 0);
  const earliest = partitions.toSorted(comparePositions)[0] ?? row;
  const counters = { applied: sum(({ applied }) => applied), skipped: sum(({ skipped }) => skipped), parked: sum(({ parked }) => parked) };
  return { ...row, ...checkpointOf(earliest), ...counters, partitions: partitions.toSorted((a, b) => a.partition - b.partition) };
}
