import { createHmac } from "node:crypto";
import pg from "pg";
import type { Connection } from "./connection.ts";

/** What the services' databases can do beyond plain PostgreSQL: search by parts of words, without accents, and indexes over mixed columns. */
export const extensions: readonly string[] = ["pg_trgm", "unaccent", "btree_gin"];

/** The event log's readers wait for the oldest transaction on the whole server, so no role may keep one open for long. */
const limits: Readonly<Record<string, string>> = {
  statement_timeout: "10s",
  lock_timeout: "5s",
  idle_in_transaction_session_timeout: "5s",
};

/** Raised when something below changes that databases made before must get too. */
const edition = 1;
const creators = 3;

/**
 * Gives each service a database and a role `kontor_<service>` on a PostgreSQL that is wholly ours, made where they are missing. A role
 * can connect to its own database only, owns the schema `public` there and nothing else; its password follows from the master key.
 * Safe to repeat, and one statement when all is there.
 */
export async function provision(
  superuser: Connection,
  services: readonly string[],
  masterKey: Uint8Array,
): Promise<Map<string, Connection>> {
  const wanted = services.map((service) => wantedFor(superuser, service, masterKey));
  await withClient(superuser, async (client) => {
    const { rows } = await client.query<{ name: string; seal: string | null; role: boolean }>(
      `select datname as name, shobj_description(oid, 'pg_database') as seal,
              exists (select from pg_roles where rolname = datname and rolcanlogin) as role
         from pg_database where datname = any ($1)`,
      [wanted.map(({ name }) => name)],
    );
    const present = new Map(rows.map((row) => [row.name, row]));
    const missing = wanted.filter(({ name, seal }) => present.get(name)?.role !== true || present.get(name)?.seal !== seal);
    if (missing.length === 0) return;
    if (missing.some(({ name }) => !present.has(name))) await prepareTemplate(client, superuser);
    await client.query(missing.map(roleScript).join("\n"));
    const queue = missing.values();
    const work = async (creator: pg.Client): Promise<void> => {
      for (const one of queue) await makeDatabase(creator, superuser, one, present.has(one.name));
    };
    await Promise.all([work(client), ...Array.from({ length: Math.min(creators, missing.length) - 1 }, () => withClient(superuser, work))]);
    await client.query(missing.map(({ name, seal }) => `comment on database ${name} is '${seal}';`).join("\n"));
  });
  return new Map(wanted.map(({ service, connection }) => [service, connection]));
}

interface Wanted {
  readonly service: string;
  /** Of the database and of the role. */
  readonly name: string;
  readonly connection: Connection;
  /** Kept as the database's comment, written last: says that it is complete, for this key. */
  readonly seal: string;
}

function wantedFor(superuser: Connection, service: string, masterKey: Uint8Array): Wanted {
  if (!/^[a-z][a-z0-9_]*$/.test(service)) throw new Error(`not a name for a service's database: ${service}`);
  const name = `kontor_${service}`;
  const derived = (purpose: string): string => createHmac("sha256", masterKey).update(`kontor ${purpose} ${service}`).digest("base64url");
  const seal = `kontor ${edition} ${extensions.join(" ")} ${Object.values(limits).join(" ")} ${derived("database seal").slice(0, 16)}`;
  return { service, name, seal, connection: { ...superuser, user: name, password: derived("database password"), database: name } };
}

function roleScript({ name, connection }: Wanted): string {
  return `
    do $$ begin
      if not exists (select from pg_roles where rolname = '${name}') then create role ${name}; end if;
    end $$;
    alter role ${name} login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password '${connection.password}';
    ${Object.entries(limits)
      .map(([setting, value]) => `alter role ${name} set ${setting} = '${value}';`)
      .join("\n")}`;
}

/** New databases are copies of template1: what is in there once need not be made in each. */
async function prepareTemplate(client: pg.Client, superuser: Connection): Promise<void> {
  await withClient({ ...superuser, database: "template1" }, (inside) => inside.query(extensionScript));
  // Everyone may connect to these two by default.
  await client.query("revoke connect, temporary on database postgres, template1 from public");
}

const extensionScript = extensions.map((name) => `create extension if not exists ${name};`).join("\n");

async function makeDatabase(client: pg.Client, superuser: Connection, { name }: Wanted, present: boolean): Promise<void> {
  if (!present) await client.query(`create database ${name} strategy wal_log`);
  await client.query(`revoke all on database ${name} from public; grant connect, temporary on database ${name} to ${name}`);
  await withClient({ ...superuser, database: name }, (inside) =>
    inside.query(`${present ? extensionScript : ""} revoke all on schema public from public; alter schema public owner to ${name};`),
  );
}

async function withClient<T>(connection: Connection, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ ...connection });
  // What breaks the connection also fails the query under way.
  client.on("error", () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
