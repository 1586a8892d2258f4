import type { Child } from "./child.ts";
import { startChild } from "./child.ts";
import { percentile } from "./figures.ts";
import type { Figures } from "./figures.ts";
import type { GetsDone, Load, OrdersDone } from "./load.ts";
import type { MinimalCheckout, MinimalOrders } from "./minimal-checkout.ts";
import type { MeasuredShop } from "./open-measured-shop.ts";
import { writeCalls } from "./process-io.ts";
import { cpuSeconds } from "./processes.ts";
import { ratio } from "./ratios.ts";
import type { Account } from "./compose-shop.ts";

export interface OrdersOptions {
  /** How many shoppers order at a time, one measurement for each number. */
  readonly shoppers: readonly number[];
  readonly seconds: number;
  readonly referenceSeconds: number;
  readonly figures: Figures;
  /** Called after each measurement, with the number of its orders. */
  readonly each?: (orders: number) => Promise<void>;
}

/** Orders of so many shoppers at a time, each beside the references that are measured just before with as many clients. Prints all figures. */
export async function measureOrders(measured: MeasuredShop, options: OrdersOptions): Promise<void> {
  const accounts = await measured.shop.tell<Account[]>({ do: "shoppers", count: Math.max(...options.shoppers) });
  for (const count of options.shoppers) {
    const add = (name: string, value: number, unit: string) => options.figures.add(`${name}_at_${count}`, value, unit);
    const http = await bareHttp(measured.load, { connections: count, seconds: options.referenceSeconds });
    add("bare_http_per_s", http, "responses/s");
    const minimal = await minimalOrders({
      connection: measured.superuser,
      clients: count,
      seconds: options.referenceSeconds,
      products: measured.products,
    });
    add("minimal_orders_per_s", minimal, "orders/s");
    const { done, costs, commits } = await orders(measured, accounts.slice(0, count), options.seconds);
    const perSecond = done.orders / done.seconds;
    add("orders_per_s", perSecond, "orders/s");
    add("orders_to_minimal", ratio(perSecond, minimal), "of minimal_orders_per_s");
    add("requests_to_bare_http", ratio(done.httpCalls / done.seconds, http), "of bare_http_per_s");
    for (const share of [50, 95, 99]) add(`order_p${share}_ms`, percentile(done.latenciesMs, share / 100), "ms");
    add("order_http_calls", done.httpCalls / done.orders, "calls");
    add("order_commits", commits / done.orders, "commits");
    for (const [name, { value, unit }] of costs) add(name, value / done.orders, unit);
    await options.each?.(done.orders);
  }
}

/** How many responses of 4 KB a second a bare `node:http` server gives to the load client. */
export async function bareHttp(load: Child<Load>, run: { readonly connections: number; readonly seconds: number }): Promise<number> {
  const server = await startChild("./bare-http.ts");
  try {
    const { origin } = server.ready as { readonly origin: string };
    const gets = (seconds: number) => load.tell<GetsDone>({ ...run, run: "gets", api: origin, paths: ["/"], seconds });
    await gets(run.seconds / 4);
    return (await gets(run.seconds)).perSecond;
  } finally {
    server.kill();
    await server.ended;
  }
}

async function minimalOrders(run: MinimalCheckout): Promise<number> {
  const checkout = await startChild<MinimalCheckout>("./minimal-checkout.ts");
  try {
    return (await checkout.tell<MinimalOrders>(run)).perSecond;
  } finally {
    checkout.kill();
    await checkout.ended;
  }
}

async function orders(measured: MeasuredShop, accounts: readonly Account[], seconds: number) {
  const { shop, load, api, products, database } = measured;
  const run = (length: number) => load.tell<OrdersDone>({ run: "orders", api, accounts, seconds: length, products });
  await run(Math.min(3, seconds));
  await shop.tell({ do: "settle" });
  await database.query("select pg_stat_statements_reset()");
  const before = await counts(measured);
  const done = await run(seconds);
  await shop.tell({ do: "settle" });
  const after = await counts(measured);
  const { rows } = await database.query<{ commits: number }>(
    `select coalesce(sum(count), 0)::float8 as commits from pg_get_wal_stats($1, $2, true) where "resource_manager/record_type" like 'Transaction/COMMIT%'`,
    [before.lsn, after.lsn],
  );
  const costs = Array.from(after.costs, ([name, { value, unit }]) => {
    return [name, { value: value - (before.costs.get(name)?.value ?? 0), unit }] as const;
  });
  return { done, costs, commits: rows[0]!.commits };
}

interface Cost {
  readonly value: number;
  readonly unit: string;
}

/** What has been used so far: statements, and on Linux the CPU time and write system calls of each kind of process. */
async function counts({ shop, load, development, database }: MeasuredShop): Promise<{ lsn: string; costs: Map<string, Cost> }> {
  const { rows } = await database.query<{ statements: number; lsn: string; postmaster: number }>(
    `select (select coalesce(sum(calls), 0)::float8 from pg_stat_statements) as statements, pg_current_wal_flush_lsn()::text as lsn,
       split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int as postmaster`,
  );
  const { statements, lsn, postmaster } = rows[0]!;
  const costs = new Map<string, Cost>([["order_statements", { value: statements, unit: "statements" }]]);
  if (process.platform === "linux") {
    const { provider, mailbox } = development.pids;
    const pids = { shop: shop.pid, postgresql: postmaster, provider, mailbox, load: load.pid };
    const seesWrites = writeCalls([process.pid]) !== undefined;
    for (const [name, pid] of Object.entries(pids)) {
      // PostgreSQL is a child of the shop's process.
      const own = (used: (roots: readonly number[]) => number) => used([pid]) - (name === "shop" ? used([postmaster]) : 0);
      costs.set(`order_cpu_${name}_ms`, { value: own(cpuSeconds) * 1000, unit: "ms" });
      if (seesWrites && name !== "load")
        costs.set(`order_writes_${name}`, { value: own((roots) => writeCalls(roots) ?? 0), unit: "write system calls" });
    }
  }
  return { lsn, costs };
}

/** Prints which figures this platform or user does not give. */
export function printMissingFigures(): void {
  if (process.platform !== "linux") console.log("CPU time and write system calls are left out: only Linux shows those of other processes");
  else if (writeCalls([process.pid]) === undefined) console.log("write system calls are left out: this user may not read /proc/<pid>/io");
}
