import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import pg from "pg";
import type { Connection } from "@kontor/platform/database/connection.ts";
import type { Addresses } from "@kontor/kontor/installation.ts";
import { startChild } from "./child.ts";
import { environment, newFolder, postmasterOf } from "./environment.ts";
import { Figures, percentile } from "./figures.ts";
import type { GetsDone, Load, OrdersDone } from "./load.ts";
import { cpuSeconds, memoryMb } from "./processes.ts";
import { measureReservations } from "./reservations.ts";
import type { Order } from "./shop.ts";
import { measureTopology, topologies } from "./topologies.ts";

// npm run bench [-- --json FILE] [--seconds N] [--only orders,reads,reservations,start,rpc]
// npm run bench -- --topology cluster,one   the same orders in shops put together differently: one, wire, cluster, servers, cluster-servers

const { values } = parseArgs({
  options: {
    json: { type: "string" },
    seconds: { type: "string", default: "15" },
    only: { type: "string", default: "start,orders,reads,reservations" },
    topology: { type: "string" },
    statements: { type: "boolean", default: false },
  },
});
const seconds = Number(values.seconds);
const parts = new Set(values.topology === undefined ? values.only.split(",") : []);
const figures = new Figures(values.json);
const products = 10_000;
const clients = 24;

/** The variables alone. */
async function shopEnvironment(folder: string): Promise<Record<string, string>> {
  const { rpcPort: _, opsPort: __, ...variables } = await environment(folder);
  return variables;
}

/** Seconds from the command to a shop that says it is ready; then it is stopped. */
async function startSeconds(env: Readonly<Record<string, string>>): Promise<{ ready: number; idleMb: number }> {
  const before = performance.now();
  const shop = spawn(
    process.execPath,
    ["--max-semi-space-size=8", fileURLToPath(new URL("../apps/kontor/main.ts", import.meta.url)), "start"],
    {
      env: { ...process.env, ...env },
      stdio: "ignore",
    },
  );
  const ended = new Promise((resolve) => shop.once("exit", resolve));
  let ready = 0;
  while (ready === 0 && shop.exitCode === null) {
    // Nobody listens yet.
    const answer = await fetch(`http://127.0.0.1:${env["KONTOR_PORT"]}/readyz`).catch(() => undefined);
    if (answer?.ok === true) ready = (performance.now() - before) / 1000;
    else await new Promise((resolve) => setTimeout(resolve, 20));
  }
  if (ready === 0) throw new Error(`the shop ended with ${shop.exitCode} before it was ready`);
  await new Promise((resolve) => setTimeout(resolve, 12_000));
  const idleMb = memoryMb([shop.pid!, postmasterOf(env["KONTOR_DATA"]!)]);
  shop.kill("SIGTERM");
  await ended;
  return { ready, idleMb };
}

async function one<Row>(database: pg.Client, text: string): Promise<Row> {
  return (await database.query(text)).rows[0] as Row;
}

interface Counts {
  readonly statements: number;
  readonly lsn: string;
  readonly cpu: number;
}

async function measureShop(): Promise<void> {
  const folder = newFolder();
  const shop = await startChild<Order>("./shop.ts", await shopEnvironment(folder));
  const load = await startChild<Load>("./load.ts");
  try {
    const { addresses, superuser } = shop.ready as { addresses: Addresses; superuser: Connection };
    const database = new pg.Client({ ...superuser });
    await database.connect();
    await database.query("create extension if not exists pg_stat_statements; create extension if not exists pg_walinspect");
    const { pid: postmaster } = await one<{ pid: number }>(
      database,
      "select split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int as pid",
    );
    const family = [shop.pid, postmaster];
    const counts = async (): Promise<Counts> => {
      const { statements } = await one<{ statements: number }>(
        database,
        "select coalesce(sum(calls), 0)::float8 as statements from pg_stat_statements",
      );
      const { lsn } = await one<{ lsn: string }>(database, "select pg_current_wal_flush_lsn()::text as lsn");
      return { statements, lsn, cpu: cpuSeconds(family) };
    };
    await shop.tell({ do: "fill", products, stock: 1_000_000 });

    if (parts.has("orders")) {
      const accounts = await shop.tell<{ email: string; password: string }[]>({ do: "shoppers", count: clients });
      const orders = (length: number) =>
        load.tell<OrdersDone>({ run: "orders", api: addresses.api.replace("localhost", "127.0.0.1"), accounts, seconds: length, products });
      await orders(3);
      await shop.tell({ do: "settle" });
      await database.query("select pg_stat_statements_reset()");
      const before = await counts();
      const done = await orders(seconds);
      await shop.tell({ do: "settle" });
      const after = await counts();
      const { commits } = await one<{ commits: number }>(
        database,
        `select coalesce(sum(count), 0)::float8 as commits from pg_get_wal_stats('${before.lsn}', '${after.lsn}', true) where "resource_manager/record_type" like 'Transaction/COMMIT%'`,
      );
      figures.add("orders_per_s", done.orders / done.seconds, "orders/s");
      for (const [name, share] of [
        ["p50", 0.5],
        ["p95", 0.95],
        ["p99", 0.99],
      ] as const)
        figures.add(`order_${name}_ms`, percentile(done.latenciesMs, share), "ms");
      figures.add("order_cpu_ms", ((after.cpu - before.cpu) * 1000) / done.orders, "ms");
      figures.add("order_statements", (after.statements - before.statements) / done.orders, "statements");
      figures.add("order_commits", commits / done.orders, "commits");
      figures.add("order_http_calls", done.httpCalls / done.orders, "calls");
      figures.add("memory_after_mb", memoryMb(family), "MB");
      if (values.statements) await printStatements(database, done.orders);
      const broken = await shop.tell<{ id: string; breaches: string[] }[]>({ do: "verify" });
      if (broken.length > 0) throw new Error(`the invariants do not hold: ${JSON.stringify(broken).slice(0, 2000)}`);
      const mails = (await (await fetch(`${addresses.mailbox}/api/v1/messages?limit=1&total=true`)).json()) as { total: number };
      console.log(`${mails.total} mails in the mailbox; every invariant holds`);
      figures.add("commits_per_s", await bareCommits(superuser), "commits/s");
    }
    if (parts.has("reads")) {
      const get = async (name: string, paths: readonly string[]) => {
        const run = { run: "gets", api: addresses.api.replace("localhost", "127.0.0.1"), connections: clients, paths } as const;
        await load.tell({ ...run, seconds: 2 });
        const { perSecond } = await load.tell<GetsDone>({ ...run, seconds: 5 });
        figures.add(name, perSecond, "requests/s");
      };
      await get("product_reads_cached_per_s", ["/v1/products/bench-1"]);
      await get(
        "product_reads_per_s",
        Array.from({ length: products }, (_, at) => `/v1/products/bench-${(at * 7919) % products}`),
      );
      await get("product_lists_per_s", ["/v1/products?limit=20"]);
      const words = [
        "blue shirt",
        "wool",
        "kettle",
        "striped blanket",
        "garden",
        "teapot red",
        "shrit",
        "visby lamp",
        "heavy jacket",
        "notebook",
      ];
      await get(
        "searches_per_s",
        Array.from({ length: 1000 }, (_, at) => `/v1/products?q=${encodeURIComponent(`${words[at % words.length]} ${at}`)}&limit=5`).concat(
          words.map((word) => `/v1/products?q=${encodeURIComponent(word)}&limit=5`),
        ),
      );
    }
    await database.end();
    await shop.tell({ do: "stop" });
    await shop.ended;
  } finally {
    shop.kill();
    load.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Which statements an order is made of: how many, and their time in PostgreSQL. */
async function printStatements(database: pg.Client, orders: number): Promise<void> {
  const { rows } = await database.query<{ database: string; calls: number; ms: number; query: string }>(
    `select datname as database, calls::float8, total_exec_time::float8 as ms, left(regexp_replace(query, '\\s+', ' ', 'g'), 150) as query
     from pg_stat_statements join pg_database on pg_database.oid = dbid order by calls desc limit 60`,
  );
  for (const { database: name, calls, ms, query } of rows)
    console.log(
      `${(calls / orders).toFixed(3).padStart(8)} a order ${(ms / orders).toFixed(3).padStart(8)} ms  ${name.replace("kontor_", "")}: ${query}`,
    );
}

/** What the machine and PostgreSQL give at best: rows inserted one a commit by as many clients. */
async function bareCommits(connection: Connection): Promise<number> {
  const all = await Promise.all(
    Array.from({ length: clients }, async () => {
      const client = new pg.Client({ ...connection });
      await client.connect();
      return client;
    }),
  );
  await all[0]!.query("create table if not exists bench_commits (at timestamptz default now())");
  const ends = performance.now() + 3_000;
  let done = 0;
  await Promise.all(
    all.map(async (client) => {
      for (; performance.now() < ends; done++) await client.query({ name: "commit", text: "insert into bench_commits default values" });
    }),
  );
  await all[0]!.query("drop table bench_commits");
  await Promise.all(all.map((client) => client.end()));
  return done / 3;
}

if (parts.has("start")) {
  const folder = newFolder();
  const env = await shopEnvironment(folder);
  try {
    const first = await startSeconds(env);
    figures.add("ready_first_s", first.ready, "s");
    const next = await startSeconds(env);
    figures.add("ready_next_s", next.ready, "s");
    figures.add("memory_idle_mb", next.idleMb, "MB");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
if (parts.has("orders") || parts.has("reads")) await measureShop();
if (parts.has("reservations")) figures.add("reservations_per_s", (await measureReservations({})).reservationsPerSecond, "reservations/s");
if (parts.has("rpc")) await import("./rpc.ts");
for (const wanted of values.topology?.split(",") ?? []) {
  const name = topologies.find((one) => one === wanted);
  if (name === undefined) throw new Error(`--topology: "${wanted}" is none of ${topologies.join(", ")}`);
  await measureTopology({ name, seconds, products: 1_000, shoppers: clients, figures });
}
