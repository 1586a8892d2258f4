import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";
import type { Connection } from "@kontor/platform/database/connection.ts";
import { measureAgainst } from "./against.ts";
import { interruptChildren } from "./child.ts";
import { environment, newFolder, postmasterOf } from "./environment.ts";
import { Figures } from "./figures.ts";
import type { GetsDone } from "./load.ts";
import { measureHostile } from "./measure-hostile.ts";
import { bareHttp, measureOrders, printMissingFigures } from "./measure-orders.ts";
import { openMeasuredShop } from "./open-measured-shop.ts";
import { memoryMb } from "./processes.ts";
import { positiveNumber, ratio, wholeNumbers } from "./ratios.ts";
import { measureReservations } from "./reservations.ts";
import { measureSearches } from "./measure-searches.ts";
import { readOptions } from "./read-options.ts";
import { printStatements } from "./statements.ts";
import { measureTopology, topologies } from "./topologies.ts";

const usage = `npm run bench [-- --json FILE] [--seconds 5] [--reference-seconds 2] [--shoppers 1,16,64,256] [--statements]
              [--only orders,reads,searches,reservations,start,hostile,rpc]
npm run bench -- --against DIR [--turns 3] [--shoppers 16]   this checkout and another one, turn by turn
npm run bench -- --topology one,cluster   the same orders in shops put together differently: one, wire, cluster, servers, cluster-servers`;

const { values, seconds, referenceSeconds, shoppers } = readOptions(
  usage,
  {
    json: { type: "string" },
    seconds: { type: "string" },
    "reference-seconds": { type: "string", default: "2" },
    shoppers: { type: "string" },
    only: { type: "string", default: "start,orders,reads,searches,reservations,hostile" },
    topology: { type: "string" },
    against: { type: "string" },
    turns: { type: "string", default: "3" },
    statements: { type: "boolean", default: false },
  },
  (given) => ({
    values: given,
    seconds: positiveNumber(given.seconds ?? (given.topology === undefined ? "5" : "15"), "--seconds"),
    referenceSeconds: positiveNumber(given["reference-seconds"], "--reference-seconds"),
    shoppers: wholeNumbers(given.shoppers ?? (given.against === undefined ? "1,16,64,256" : "16"), "--shoppers"),
  }),
);
const parts = new Set(values.topology === undefined && values.against === undefined ? values.only.split(",") : []);
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
    ["--max-semi-space-size=8", "--heap-growing-percent=100", fileURLToPath(new URL("../apps/kontor/main.ts", import.meta.url)), "start"],
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

async function measureShop(): Promise<void> {
  const measured = await openMeasuredShop({ products });
  const { shop, load, database, api, superuser, folder } = measured;
  try {
    const each = values.statements ? (done: number) => printStatements(database, done) : async () => undefined;
    if (parts.has("orders")) {
      printMissingFigures();
      await measureOrders(measured, { shoppers, seconds, referenceSeconds, figures, each });
      if (process.platform === "linux") figures.add("memory_after_mb", memoryMb([shop.pid, postmasterOf(folder)]), "MB");
      console.log(`${await measured.verify()} mails in the mailbox; every invariant holds`);
      figures.add("commits_per_s", await bareCommits(superuser), "commits/s");
    }
    if (parts.has("reads")) {
      const get = async (name: string, paths: readonly string[]) => {
        const run = { run: "gets", api, connections: clients, paths } as const;
        await load.tell({ ...run, seconds: 2 });
        const { perSecond } = await load.tell<GetsDone>({ ...run, seconds });
        figures.add(name, perSecond, "requests/s");
        figures.add(`${name.replace(/_per_s$/, "")}_to_bare_http`, ratio(perSecond, http), `of bare_http_per_s_at_${clients}`);
      };
      const http = await bareHttp(load, { connections: clients, seconds: referenceSeconds });
      figures.add(`bare_http_per_s_at_${clients}`, http, "responses/s");
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
    if (parts.has("searches")) await measureSearches(measured, { connections: clients, seconds, figures, each });
  } finally {
    await measured.stop();
  }
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

const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => {
    const error = new Error(`interrupted by ${signal}`);
    interrupted.abort(error);
    interruptChildren(error);
  });

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
interrupted.signal.throwIfAborted();
if (["orders", "reads", "searches"].some((part) => parts.has(part))) await measureShop();
if (parts.has("reservations")) figures.add("reservations_per_s", (await measureReservations({})).reservationsPerSecond, "reservations/s");
if (parts.has("hostile")) {
  // The callers are told apart by their addresses, as behind a proxy.
  const measured = await openMeasuredShop({ products: 1_000, variables: { KONTOR_PROXIES: "1" } });
  try {
    await measureHostile(measured, { seconds, figures });
    await measured.verify();
  } finally {
    await measured.stop();
  }
}
if (parts.has("rpc")) await import("./rpc.ts");
if (values.against !== undefined) {
  const turns = Math.max(3, wholeNumbers(values.turns, "--turns")[0]!);
  const root = resolve(values.against);
  const options = { root, turns, seconds, readSeconds: referenceSeconds, products: 1_000, figures, signal: interrupted.signal };
  for (const count of shoppers) {
    console.log(`${count} shoppers, ${turns} turns of this checkout and of ${root}:`);
    await measureAgainst({ ...options, shoppers: count });
  }
}
let oneProcessCpuMs: number | undefined;
for (const wanted of values.topology?.split(",") ?? []) {
  const name = topologies.find((one) => one === wanted);
  if (name === undefined) throw new Error(`--topology: "${wanted}" is none of ${topologies.join(", ")}`);
  const { cpuMs } = await measureTopology({ name, seconds, products: 1_000, shoppers: clients, figures });
  if (name === "one") oneProcessCpuMs = cpuMs;
  else if (oneProcessCpuMs !== undefined)
    figures.add(`${name}_order_cpu_to_one`, cpuMs / oneProcessCpuMs, "of the CPU of an order in one process");
}
