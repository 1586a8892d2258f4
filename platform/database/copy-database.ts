import { pipeline } from "node:stream/promises";
import pg from "pg";
import { from, to } from "pg-copy-streams";
import { withClient } from "./client.ts";
import type { Connection } from "./connection.ts";

/** What was copied: rows by table. */
export type CopiedRows = Readonly<Record<string, number>>;

interface Table {
  readonly name: string;
  /** The columns that are stored, in the table's order. The others are computed by the target. */
  readonly columns: readonly string[];
  /** Tables that its rows refer to. */
  readonly after: readonly string[];
}

/**
 * Copies all rows of a database into another one that has the same tables, as migrations made them, in one transaction: all of it or nothing. Sequences
 * continue where they were. The source is read in one snapshot. Throws when the target holds rows beyond those that migrations write, or has
 * other tables; then the target is unchanged.
 */
export async function copyDatabase(source: Connection, target: Connection): Promise<CopiedRows> {
  return withClient(source, (reader) =>
    withClient(target, async (writer) => {
      for (const client of [reader, writer]) await client.query(patient);
      await reader.query("begin isolation level repeatable read read only");
      await writer.query("begin");
      const [tables, theirs] = await Promise.all([tablesOf(reader), tablesOf(writer)]);
      const names = tables.map(({ name }) => name).toSorted();
      const others = theirs.map(({ name }) => name).toSorted();
      if (names.join() !== others.join())
        throw new Error(`${target.database} has other tables than ${source.database}: ${others.join(", ")} instead of ${names.join(", ")}`);
      const copied: Record<string, number> = {};
      for (const table of inOrder(tables)) copied[table.name] = await copyTable(reader, writer, table);
      await copySequences(reader, writer);
      // A transaction that has not committed ends with its connection.
      await writer.query("commit");
      return copied;
    }),
  );
}

/** A big table takes longer than requests are allowed to. */
const patient = "set statement_timeout = 0; set idle_in_transaction_session_timeout = 0; set lock_timeout = 0";

/** Whether the database holds rows beyond those of migrations, which write at most one per table. */
export async function holdsRows(connection: Connection): Promise<boolean> {
  return withClient(connection, async (client) => {
    for (const { name } of await tablesOf(client)) {
      const { rows } = await client.query<{ count: number }>(
        `select count(*)::int as count from (select from ${quoted(name)} limit 2) as few`,
      );
      if (rows[0]!.count > 1) return true;
    }
    return false;
  });
}

/** All tables but that of the migrations, which is the target's own. */
async function tablesOf(client: pg.Client): Promise<Table[]> {
  const { rows } = await client.query<Table>(`
    select c.relname as name,
      array(select a.attname::text from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' order by a.attnum) as columns,
      array(select distinct f.confrelid::regclass::text from pg_constraint f
        where f.conrelid = c.oid and f.contype = 'f' and f.confrelid <> c.oid) as after
    from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition and c.relname <> 'migrations'
    order by c.relname`);
  return rows;
}

/** Orders tables so that each comes after those that it refers to. */
function inOrder(tables: readonly Table[]): Table[] {
  const done = new Set<string>();
  const ordered: Table[] = [];
  while (ordered.length < tables.length) {
    const next = tables.filter(({ name, after }) => !done.has(name) && after.every((other) => done.has(other)));
    if (next.length === 0) throw new Error("tables refer to each other in a circle");
    for (const table of next) {
      done.add(table.name);
      ordered.push(table);
    }
  }
  return ordered;
}

async function copyTable(reader: pg.Client, writer: pg.Client, { name, columns }: Table): Promise<number> {
  const what = `${quoted(name)} (${columns.map(quoted).join(", ")})`;
  // A trigger would make other rows of these than the source has.
  await writer.query(`alter table ${quoted(name)} disable trigger user`);
  // Rows that migrations have written are replaced by those of the source.
  await writer.query(`delete from ${quoted(name)}`);
  const out = reader.query(to(`copy (select ${columns.map(quoted).join(", ")} from ${quoted(name)}) to stdout with (format binary)`));
  const into = writer.query(from(`copy ${what} from stdin with (format binary)`));
  await pipeline(out, into);
  await writer.query(`alter table ${quoted(name)} enable trigger user`);
  return into.rowCount;
}

async function copySequences(reader: pg.Client, writer: pg.Client): Promise<void> {
  const { rows } = await reader.query<{ name: string }>(
    "select c.relname as name from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'S'",
  );
  for (const { name } of rows) {
    const { rows: found } = await reader.query<{ last: string; called: boolean }>(
      `select last_value::text as last, is_called as called from ${quoted(name)}`,
    );
    await writer.query("select setval($1::regclass, $2::bigint, $3::boolean)", [quoted(name), found[0]!.last, found[0]!.called]);
  }
}

const quoted = (name: string) => pg.escapeIdentifier(name);
