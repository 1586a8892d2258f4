import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { serviceNames, variableOf } from "@kontor/kontor/roles.ts";
import { engineAddress } from "@kontor/platform/testing/engines.ts";
import { startChild } from "./child.ts";
import { environment, newFolder, postmasterOf } from "./environment.ts";
import type { Figures } from "./figures.ts";
import { percentile } from "./figures.ts";
import type { OperatorCommand } from "./operator.ts";
import type { Load, OrdersDone } from "./load.ts";
import { cpuSecondsByName, memoryMb } from "./processes.ts";

// The same shop put together in several ways, each asked for the same orders: what does it cost to be distributed?

export const topologies = ["one", "wire", "cluster", "servers", "cluster-servers"] as const;
export type TopologyName = (typeof topologies)[number];

export interface TopologyRun {
  readonly name: TopologyName;
  readonly seconds: number;
  readonly products: number;
  readonly shoppers: number;
  readonly figures: Figures;
}

const statementSettings = "shared_preload_libraries=pg_stat_statements;pg_stat_statements.max=10000";

async function variables(name: TopologyName, opsPort: number, rpcPort: number): Promise<Record<string, string>> {
  const ops = { KONTOR_OPS_PORT: String(opsPort) };
  if (name === "one" || name === "cluster") return { ...ops, KONTOR_POSTGRES_SETTINGS: statementSettings };
  if (name === "wire") {
    const here = `grpc://127.0.0.1:${rpcPort}`;
    const urls = Object.fromEntries(serviceNames.map((service) => [variableOf(service, "URL"), here]));
    return { ...ops, ...urls, KONTOR_RPC: here, KONTOR_POSTGRES_SETTINGS: statementSettings };
  }
  return {
    ...ops,
    KONTOR_NAMESPACE: `bench_${randomBytes(4).toString("hex")}`,
    KONTOR_MASTER_KEY: randomBytes(32).toString("hex"),
    KONTOR_DATABASE_URL: engineAddress("ENGINE_POSTGRES"),
    KONTOR_CACHE: engineAddress("ENGINE_REDIS"),
    KONTOR_EVENTS: `kafka://${engineAddress("ENGINE_KAFKA")}`,
    KONTOR_TASKS: engineAddress("ENGINE_RABBITMQ"),
    KONTOR_SEARCH: engineAddress("ENGINE_OPENSEARCH"),
  };
}

/** Starts the shop, lets shoppers order for so many seconds, and prints what an order took and cost. Returns the CPU time of an order. */
export async function measureTopology({ name, seconds, products, shoppers, figures }: TopologyRun): Promise<{ readonly cpuMs: number }> {
  const folder = newFolder();
  const { opsPort, rpcPort, ...shared } = await environment(folder);
  const env = { ...shared, ...(await variables(name, opsPort, rpcPort)) };
  const distributed = name.startsWith("cluster");
  const shop = await startShop(distributed ? "cluster" : "start", env);
  const operator = await startChild<OperatorCommand>("./operator.ts", env);
  const load = await startChild<Load>("./load.ts");
  try {
    const { superuser } = operator.ready as { superuser: pg.ClientConfig | undefined };
    await operator.tell({ do: "fill", products, stock: 1_000_000 });
    const accounts = await operator.tell<{ email: string; password: string }[]>({ do: "shoppers", count: shoppers });
    const api = `http://127.0.0.1:${env["KONTOR_PORT"]}`;
    const orders = (length: number) => load.tell<OrdersDone>({ run: "orders", api, accounts, seconds: length, products });
    await orders(3);
    // A server that was there before works for others too: its processes and statements are not counted.
    const family = [shop.pid!, ...(superuser === undefined ? [] : [postmasterOf(folder)])];
    const counts = async () => ({
      cpu: cpuSecondsByName(family),
      rpcs: await rpcCalls(opsPort, distributed),
      statements: await statementsOf(superuser),
    });
    const before = await counts();
    const done = await orders(seconds);
    const after = await counts();
    const per = (figure: string, value: number, unit: string) => figures.add(`${name}_${figure}`, value, unit);
    per("orders_per_s", done.orders / done.seconds, "orders/s");
    per("order_p50_ms", percentile(done.latenciesMs, 0.5), "ms");
    per("order_p99_ms", percentile(done.latenciesMs, 0.99), "ms");
    const cpu = Array.from(after.cpu, ([process, seconds]) => ({
      process,
      ms: ((seconds - (before.cpu.get(process) ?? 0)) * 1000) / done.orders,
    }));
    const cpuMs = cpu.reduce((sum, { ms }) => sum + ms, 0);
    per("order_cpu_ms", cpuMs, superuser === undefined ? "ms (without the servers)" : "ms");
    console.log(
      `of it: ${cpu
        .toSorted((a, b) => b.ms - a.ms)
        .map(({ process, ms }) => `${process} ${ms.toFixed(1)}`)
        .join(", ")}`,
    );
    if (superuser !== undefined) per("order_statements", (after.statements - before.statements) / done.orders, "statements");
    per("order_rpcs", (after.rpcs - before.rpcs) / done.orders, "calls over a wire");
    const { events, tasks } = await operator.tell<{ events: number; tasks: number }>({ do: "count" });
    const all = await operator.tell<number>({ do: "orders" });
    per(
      "order_messages",
      (events + tasks) / all,
      `events and tasks, ${name.endsWith("servers") ? "over Kafka and RabbitMQ" : "over PostgreSQL"}`,
    );
    per("memory_mb", memoryMb(family), "MB");
    const broken = await operator.tell<unknown[]>({ do: "verify" });
    if (broken.length > 0) throw new Error(`the invariants do not hold: ${JSON.stringify(broken).slice(0, 2000)}`);
    console.log(`${name}: every invariant holds`);
    await operator.tell({ do: "stop" });
    return { cpuMs };
  } finally {
    operator.kill();
    load.kill();
    shop.kill("SIGTERM");
    if (shop.exitCode === null) await once(shop, "exit");
    const namespace = (env as Readonly<Record<string, string>>)["KONTOR_NAMESPACE"];
    if (namespace !== undefined) await (await import("@kontor/platform/testing/erase-servers.ts")).eraseServers(namespace);
    rmSync(folder, { recursive: true, force: true });
  }
}

async function startShop(command: "start" | "cluster", env: Readonly<Record<string, string>>): Promise<ChildProcess> {
  const main = fileURLToPath(new URL("../apps/kontor/main.ts", import.meta.url));
  const shop = spawn(process.execPath, ["--max-semi-space-size=8", "--heap-growing-percent=100", main, command], {
    env: { ...process.env, ...env, KONTOR_LOG_LEVEL: "info" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(shop, "exit").then(([code]) => Promise.reject(new Error(`kontor ${command} ended with ${String(code)}`)));
  const ready = new Promise<void>((resolve) => {
    createInterface({ input: shop.stdout }).on("line", (line) => {
      if (line.includes('"message":"ready"') && line.includes('"api"')) resolve();
    });
  });
  await Promise.race([ready, ended]);
  ended.catch(() => undefined); // its end is expected from now on
  return shop;
}

/** Calls over a wire so far, by all processes that tell of themselves. */
async function rpcCalls(opsPort: number, distributed: boolean): Promise<number> {
  const processes = distributed ? serviceNames.length + 3 : 1;
  let calls = 0;
  for (let at = 0; at < processes; at++) {
    const text = await (await fetch(`http://127.0.0.1:${opsPort + at}/metrics`)).text();
    for (const [, count] of text.matchAll(/^kontor_rpc_calls\{[^}]*outcome="all"[^}]*\} (\d+)/gm)) calls += Number(count);
  }
  return calls;
}

async function statementsOf(superuser: pg.ClientConfig | undefined): Promise<number> {
  if (superuser === undefined) return 0;
  const client = new pg.Client(superuser);
  await client.connect();
  try {
    await client.query("create extension if not exists pg_stat_statements");
    const { rows } = await client.query<{ calls: number }>("select coalesce(sum(calls), 0)::float8 as calls from pg_stat_statements");
    return rows[0]!.calls;
  } finally {
    await client.end();
  }
}
