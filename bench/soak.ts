import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import type { Addresses } from "@kontor/kontor/installation.ts";
import { eraseEmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import { startChild } from "./child.ts";
import { growthOf } from "./growth.ts";
import type { HeapSample } from "./growth.ts";
import type { Load, OrdersDone } from "./load.ts";
import { positiveNumber } from "./ratios.ts";
import { readOptions } from "./read-options.ts";
import type { Order } from "./shop.ts";

// A shop under a steady load of paid orders. Between rounds it settles and its heap is collected and measured; what grows then is kept for
// good. The first half of the time fills caches and does not count.

const { minutes, shoppers, limit, json } = readOptions(
  "npm run soak [-- --minutes 30] [--shoppers 4] [--limit 8] [--json FILE]",
  {
    minutes: { type: "string", default: "30" },
    shoppers: { type: "string", default: "4" },
    /** Megabytes an hour that the heap may grow by after the warm-up. */
    limit: { type: "string", default: "8" },
    json: { type: "string" },
  },
  (given) => ({
    minutes: positiveNumber(given.minutes, "--minutes"),
    shoppers: positiveNumber(given.shoppers, "--shoppers"),
    limit: positiveNumber(given.limit, "--limit"),
    json: given.json,
  }),
);
const products = 500;
const roundSecondsMax = 30;

const folder = await mkdtemp(join(tmpdir(), "kontor-soak-"));
// As root, PostgreSQL runs as another user, who has to get in.
await chmod(folder, 0o711);
const shop = await startChild<Order>("./shop.ts", await environment());
const load = await startChild<Load>("./load.ts");
try {
  const { api } = (shop.ready as { readonly addresses: Addresses }).addresses;
  await shop.tell({ do: "fill", products, stock: 10_000_000 });
  const accounts = await shop.tell<{ email: string; password: string }[]>({ do: "shoppers", count: shoppers });
  const samples: HeapSample[] = [];
  const startedMs = performance.now();
  const endsMs = startedMs + minutes * 60_000;
  // At least eight rounds, so that a short run says something too.
  const roundSeconds = Math.min(roundSecondsMax, (minutes * 60) / 8);
  let orders = 0;
  console.log(" minutes     orders   orders/s    heap MB     RSS MB");
  while (performance.now() < endsMs) {
    const run = { run: "orders", api: api.replace("localhost", "127.0.0.1"), accounts, seconds: roundSeconds, products } as const;
    const done = await load.tell<OrdersDone>(run);
    orders += done.orders;
    await shop.tell({ do: "settle" });
    const { heapBytes, rssBytes } = await shop.tell<{ heapBytes: number; rssBytes: number }>({ do: "heap" });
    const sample = { hours: (performance.now() - startedMs) / 3_600_000, orders, heapMb: heapBytes / 1e6, rssMb: rssBytes / 1e6 };
    samples.push(sample);
    const row = [sample.hours * 60, orders, done.orders / done.seconds, sample.heapMb, sample.rssMb];
    console.log(row.map((value, at) => value.toFixed(at === 1 ? 0 : 2).padStart(at === 0 ? 8 : 10)).join(" "));
  }
  const broken = await shop.tell<readonly object[]>({ do: "verify" });
  await shop.tell({ do: "stop" });
  await shop.ended;
  const growth = growthOf(samples);
  console.log(
    `\nheap after the warm-up: ${growth.mbPerHour.toFixed(2)} MB an hour, ${growth.kbPerThousandOrders.toFixed(1)} KB per 1,000 orders ` +
      `(${samples.length} samples, ${orders} orders, ${cpus().length} cores)`,
  );
  if (json !== undefined) await writeFile(json, `${JSON.stringify({ minutes, shoppers, orders, ...growth, samples })}\n`);
  if (broken.length > 0) throw new Error(`the invariants do not hold: ${JSON.stringify(broken).slice(0, 2_000)}`);
  console.log("every invariant holds");
  if (growth.mbPerHour > limit) {
    console.error(`✖ the heap grows by more than ${limit} MB an hour`);
    process.exitCode = 1;
  }
} finally {
  shop.kill();
  load.kill();
  await Promise.all([shop.ended, load.ended]);
  await eraseEmbeddedPostgres(folder);
  await rm(folder, { recursive: true, force: true });
}

async function environment(): Promise<Record<string, string>> {
  const names = ["KONTOR_PORT", "KONTOR_MAILBOX_PORT", "KONTOR_SMTP_PORT", "KONTOR_PROVIDER_PORT"];
  // All are held until all are known, so that no two are the same.
  const servers = await Promise.all(
    names.map(
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer().listen(0, "127.0.0.1", () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => String((server.address() as AddressInfo).port));
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  const settings = { KONTOR_DATA: folder, KONTOR_SEED: "none", KONTOR_LOG_LEVEL: "warn", KONTOR_LOG_FORMAT: "json" };
  return { ...settings, ...Object.fromEntries(names.map((name, at) => [name, ports[at]!])) };
}
