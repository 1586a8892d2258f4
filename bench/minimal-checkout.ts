import { randomUUID } from "node:crypto";
import pg from "pg";
import type { Connection } from "@kontor/platform/database/connection.ts";
import { serveParent } from "./serve-parent.ts";

// The second reference: the least that a checkout which can be trusted writes, as one transaction in SQL, in a process of its own. There is no HTTP, no
// cart, no payment and no mail.

export interface MinimalCheckout {
  /** A superuser's, on the shop's PostgreSQL. */
  readonly connection: Connection;
  readonly clients: number;
  readonly seconds: number;
  readonly products: number;
}

export interface MinimalOrders {
  readonly perSecond: number;
}

/** As many as the shop opens by default. More clients than this share them. */
const connectionsMax = 40;
const name = "bench_minimal";

const tables = `
  create table stock (sku text primary key, on_hand int not null check (on_hand >= 0));
  create table orders (id bigint generated always as identity primary key, shopper text not null, status text not null, total_minor bigint not null,
    created_at timestamptz not null default now());
  create table order_lines (order_id bigint references orders, line int, sku text not null, quantity int not null, price_minor bigint not null,
    primary key (order_id, line));
  create table events (position bigint generated always as identity primary key, subject text not null, type text not null, payload jsonb not null);
  create table tasks (id bigint generated always as identity primary key, kind text not null, payload jsonb not null, due_at timestamptz not null);
  create table idempotency_keys (key text primary key, response jsonb, created_at timestamptz not null default now())`;

/** Creates its database anew. The PostgreSQL is deleted after the benchmark, with what this leaves in it. */
async function createDatabase(connection: Connection): Promise<void> {
  const admin = new pg.Client({ ...connection });
  await admin.connect();
  try {
    await admin.query(`drop database if exists ${name} with (force)`);
    await admin.query(`create database ${name}`);
  } finally {
    await admin.end();
  }
}

async function placeOrder(
  pool: pg.Pool,
  shopper: string,
  lines: readonly { readonly sku: string; readonly quantity: number }[],
): Promise<void> {
  const client = await pool.connect();
  const run = (statement: string, text: string, values: readonly unknown[]) =>
    client.query<{ id: string }>({ name: statement, text, values: [...values] });
  const skus = lines.map(({ sku }) => sku);
  const quantities = lines.map(({ quantity }) => quantity);
  try {
    await client.query("begin");
    const key = randomUUID();
    await run("key", "insert into idempotency_keys (key) values ($1)", [key]);
    // In the order of the SKUs, so that two orders do not wait for each other.
    await run("lock", "select sku, on_hand from stock where sku = any($1) order by sku for update", [skus]);
    await run(
      "take",
      "update stock set on_hand = on_hand - line.quantity from unnest($1::text[], $2::int[]) as line (sku, quantity) where stock.sku = line.sku",
      [skus, quantities],
    );
    const { rows } = await run("order", "insert into orders (shopper, status, total_minor) values ($1, 'PENDING', $2) returning id", [
      shopper,
      2_997,
    ]);
    const { id } = rows[0]!;
    await run(
      "lines",
      "insert into order_lines select $1, line.at, line.sku, line.quantity, 999 from unnest($2::text[], $3::int[]) with ordinality as line (sku, quantity, at)",
      [id, skus, quantities],
    );
    await run("event", "insert into events (subject, type, payload) values ($1, 'OrderPlaced', $2)", [
      id,
      JSON.stringify({ id, shopper, lines }),
    ]);
    await run("task", "insert into tasks (kind, payload, due_at) values ('expire', $1, now() + interval '1 hour')", [
      JSON.stringify({ id }),
    ]);
    await run("response", "update idempotency_keys set response = $2 where key = $1", [key, JSON.stringify({ id, status: "PENDING" })]);
    await client.query("commit");
    client.release();
  } catch (error) {
    client.release(true);
    throw error;
  }
}

async function measure({ connection, clients, seconds, products }: MinimalCheckout): Promise<MinimalOrders> {
  await createDatabase(connection);
  const pool = new pg.Pool({ ...connection, database: name, max: Math.min(clients, connectionsMax) });
  try {
    await pool.query(tables);
    await pool.query("insert into stock select 'BENCH-' || at, 1000000 from generate_series(0, $1::int - 1) as at", [products]);
    await run(pool, { clients, products, seconds: seconds / 4 });
    return await run(pool, { clients, products, seconds });
  } finally {
    await pool.end();
  }
}

/** Clients that place one order after the other, for the same products as the shop's shoppers. */
async function run(pool: pg.Pool, { clients, seconds, products }: Omit<MinimalCheckout, "connection">): Promise<MinimalOrders> {
  const startMs = performance.now();
  const endMs = startMs + seconds * 1000;
  let orders = 0;
  const client = async (nth: number): Promise<void> => {
    for (let turn = 0; performance.now() < endMs; turn++, orders++) {
      const sku = (add: number) => `BENCH-${(nth * 131 + turn * 17 + add) % products}`;
      await placeOrder(pool, `shopper-${nth}`, [
        { sku: sku(0), quantity: 1 },
        { sku: sku(7), quantity: 2 },
      ]);
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, nth) => client(nth)));
  return { perSecond: orders / ((performance.now() - startMs) / 1000) };
}

serveParent({}, measure);
