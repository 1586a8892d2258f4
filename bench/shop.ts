import { readConfiguration } from "@kontor/kontor/configuration.ts";
import { openApp } from "@kontor/kontor/app.ts";
import { verify } from "@kontor/kontor/verify/verify.ts";
import { heapUsed } from "@kontor/platform/testing/heap-used.ts";
import { createLogger } from "@kontor/platform/telemetry/create-logger.ts";
import { fill, shoppers } from "./compose-shop.ts";
import { serveParent } from "./serve-parent.ts";

// The measured process: a whole shop with its own PostgreSQL, controlled by messages.

/** What the bench asks of the shop. */
export type Order =
  | { readonly do: "fill"; readonly products: number; readonly stock: number }
  | { readonly do: "shoppers"; readonly count: number }
  | { readonly do: "settle" }
  | { readonly do: "heap" }
  | { readonly do: "verify" }
  | { readonly do: "stop" };

const log = createLogger({ service: "kontor", level: "warn", format: "json" });
const app = await openApp({
  config: readConfiguration(process.env),
  log,
  as: "shop",
  settings: { shared_preload_libraries: "pg_stat_statements", "pg_stat_statements.max": "10000", "pg_stat_statements.track_utility": "on" },
});
const clients = app.clientsFor("bench");

async function execute(order: Order): Promise<unknown> {
  switch (order.do) {
    case "fill":
      await fill(clients, order);
      return app.settle();
    case "shoppers":
      return shoppers(clients, order.count);
    case "settle":
      return app.settle();
    case "heap":
      return { heapBytes: await heapUsed(), rssBytes: process.memoryUsage.rss() };
    case "verify":
      return (await verify(app.databases)).filter(({ broken }) => broken > 0);
    case "stop":
      await app.stop();
      setImmediate(() => process.exit(0));
      return undefined;
  }
}

serveParent({ addresses: app.addresses, superuser: app.postgres?.superuser }, execute, () => execute({ do: "stop" }));
