import { createHmac } from "node:crypto";
import type pg from "pg";
import { withClient } from "./client.ts";
import type { Connection } from "./connection.ts";
import { sqlState } from "./database.ts";

/** Extensions that the services' databases use: search by parts of words, without accents, and indexes over mixed columns. */
export const extensions: readonly string[] = ["pg_trgm", "unaccent", "btree_gin"];

/** The event log's readers wait for the oldest transaction on the whole server, so no role may keep one open for long. */
const limits: Readonly<Record<string, string>> = {
  statement_timeout: "10s",
  lock_timeout: "5s",
  idle_in_transaction_session_timeout: "5s",
};

/** Raised when something below changes that existing databases must get too. */
const revision = 1;
const creators = 3;
/** As `server_version_num` has it. */
export const versionMin = 150_000;

export interface ProvisionOptions {
  /** The server is not the installation's alone: other databases stay as they are, and the administrator need not be a superuser. */
  readonly shared?: boolean;
  /** What the databases' and roles' names begin with: "kontor" by default. Two installations on one server need two. */
  readonly prefix?: string;
}

/**
 * Gives each service a database and a role `kontor_<service>`, made where they are missing. A role can connect to its own database only
 * and create objects in the schema `public` there; its password is derived from the master key. Safe to repeat and in several processes at
 * once, and one statement when all is there. The administrator needs CREATEDB and CREATEROLE; throws, with what is missing, otherwise.
 */
export async function provision(
  administrator: Connection,
  services: readonly string[],
  masterKey: Uint8Array,
  { shared = false, prefix = "kontor" }: ProvisionOptions = {},
): Promise<Map<string, Connection>> {
  const wanted = services.map((service) => wantedFor(administrator, `${prefix}_${service}`, service, masterKey));
  await withClient(administrator, async (client) => {
    if ((await missingOf(client, wanted)).missing.length === 0) return;
    await checkAdministrator(client, administrator);
    // One process at a time; the lock ends with the session.
    await client.query("set lock_timeout = 0; select pg_advisory_lock(hashtextextended('kontor provision', 0))");
    const { missing, present } = await missingOf(client, wanted);
    if (missing.length === 0) return;
    try {
      if (!shared && missing.some(({ name }) => !present.has(name))) await prepareTemplate(client, administrator);
      const trusted = await isSuperuser(client);
      await client.query(missing.map((one) => roleScript(one, trusted)).join("\n"));
      const queue = missing.values();
      const work = async (creator: pg.Client): Promise<void> => {
        for (const one of queue) await makeDatabase(creator, administrator, one, { present: present.has(one.name), shared });
      };
      const others = Array.from({ length: Math.min(creators, missing.length) - 1 }, () => withClient(administrator, work));
      await Promise.all([work(client), ...others]);
      await client.query(missing.map(({ name, seal }) => `comment on database ${name} is '${seal}';`).join("\n"));
    } catch (error) {
      throw explained(error, administrator);
    }
  });
  return new Map(wanted.map(({ service, connection }) => [service, connection]));
}

async function missingOf(client: pg.Client, wanted: readonly Wanted[]) {
  const { rows } = await client.query<{ name: string; seal: string | null; role: boolean }>(
    `select datname as name, shobj_description(oid, 'pg_database') as seal,
            exists (select from pg_roles where rolname = datname and rolcanlogin) as role
       from pg_database where datname = any ($1)`,
    [wanted.map(({ name }) => name)],
  );
  const present = new Map(rows.map((row) => [row.name, row]));
  return { present, missing: wanted.filter(({ name, seal }) => present.get(name)?.role !== true || present.get(name)?.seal !== seal) };
}

async function checkAdministrator(client: pg.Client, { host, port }: Connection): Promise<void> {
  const { rows } = await client.query<{ name: string; version: number; makes: boolean; roles: boolean; extensions: string[] }>(
    `select current_user as name, current_setting('server_version_num')::int as version, rolsuper or rolcreatedb as makes,
            rolsuper or rolcreaterole as roles, array(select name::text from pg_available_extensions where name = any ($1)) as extensions
       from pg_roles where rolname = current_user`,
    [extensions],
  );
  const { name, version, makes, roles, extensions: available } = rows[0]!;
  const where = `PostgreSQL at ${host}:${port}`;
  if (version < versionMin) throw new Error(`${where} is too old: Kontor needs PostgreSQL ${versionMin / 10_000} or later`);
  const rights = [...(makes ? [] : ["createdb"]), ...(roles ? [] : ["createrole"])];
  if (rights.length > 0)
    throw new Error(`${name} may not make databases and roles on ${where}: have a superuser run  alter role "${name}" ${rights.join(" ")}`);
  const lacking = extensions.filter((extension) => !available.includes(extension));
  if (lacking.length > 0)
    throw new Error(`${where} has no ${lacking.join(", ")}: install PostgreSQL's additional modules there (postgresql-contrib)`);
}

async function isSuperuser(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ superuser: boolean }>("select rolsuper as superuser from pg_roles where rolname = current_user");
  return rows[0]?.superuser === true;
}

function explained(error: unknown, { user }: Connection): unknown {
  if (sqlState(error) !== "42501") return error;
  const what = error instanceof Error ? error.message : String(error);
  return new Error(
    `${user} may not do what the services' databases need (${what}): what is named there was made by somebody else; give it to ${user}, or drop it`,
    {
      cause: error,
    },
  );
}

interface Wanted {
  readonly service: string;
  /** Of the database and of the role. */
  readonly name: string;
  readonly connection: Connection & { readonly password: string };
  /** Stored as the database's comment, written last: marks that the database is complete, for this key. */
  readonly seal: string;
}

function wantedFor(administrator: Connection, name: string, service: string, masterKey: Uint8Array): Wanted {
  if (!/^[a-z][a-z0-9_]*$/.test(name)) throw new Error(`not a name for a service's database: ${name}`);
  const derived = (purpose: string): string => createHmac("sha256", masterKey).update(`kontor ${purpose} ${service}`).digest("base64url");
  const seal = `kontor ${revision} ${extensions.join(" ")} ${Object.values(limits).join(" ")} ${derived("database seal").slice(0, 16)}`;
  return { service, name, seal, connection: { ...administrator, user: name, password: derived("database password"), database: name } };
}

function roleScript({ name, connection }: Wanted, trusted: boolean): string {
  // A role is made without rights; only a superuser may even say that again.
  const without = trusted ? "nosuperuser nocreatedb nocreaterole noreplication nobypassrls" : "";
  return `
    do $$ begin
      if not exists (select from pg_roles where rolname = '${name}') then create role ${name}; end if;
    end $$;
    alter role ${name} login ${without} password '${connection.password}';
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

async function makeDatabase(
  client: pg.Client,
  administrator: Connection,
  { name }: Wanted,
  { present, shared }: { readonly present: boolean; readonly shared: boolean },
): Promise<void> {
  // Sorting is the same everywhere, whatever the server's own databases do.
  const form = shared ? "template template0 encoding 'UTF8' locale_provider libc lc_collate 'C'" : "";
  if (!present) await client.query(`create database ${name} ${form} strategy wal_log`);
  await client.query(`revoke all on database ${name} from public; grant connect, temporary on database ${name} to ${name}`);
  await withClient({ ...administrator, database: name }, (inside) =>
    inside.query(
      `${present || shared ? extensionScript : ""} revoke all on schema public from public; grant usage, create on schema public to ${name};`,
    ),
  );
}
