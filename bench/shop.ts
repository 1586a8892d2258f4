import { readConfiguration } from "@kontor/kontor/configuration.ts";
import { openHouse } from "@kontor/kontor/house.ts";
import { verify } from "@kontor/kontor/verify/verify.ts";
import { heapUsed } from "@kontor/platform/testing/heap-used.ts";
import { createLogger } from "@kontor/platform/telemetry/create-logger.ts";
import { fill, shoppers } from "./furnish.ts";
import { obeyParent } from "./obey.ts";

// The measured process: a whole shop with its own PostgreSQL, told by messages what to do.

/** What the bench asks of the shop. */
export type Order =
  | { readonly do: "fill"; readonly products: number; readonly stock: number }
  | { readonly do: "shoppers"; readonly count: number }
  | { readonly do: "settle" }
  | { readonly do: "heap" }
  | { readonly do: "verify" }
  | { readonly do: "stop" };

const log = createLogger({ service: "kontor", level: "warn", format: "json" });
const house = await openHouse({
  config: readConfiguration(process.env),
  log,
  as: "shop",
  settings: { shared_preload_libraries: "pg_stat_statements", "pg_stat_statements.max": "10000", "pg_stat_statements.track_utility": "on" },
});
const clients = house.clientsFor("bench");

async function obey(order: Order): Promise<unknown> {
  switch (order.do) {
    case "fill":
      await fill(clients, order);
      return house.settle();
    case "shoppers":
      return shoppers(clients, order.count);
    case "settle":
      return house.settle();
    case "heap":
      return { heapBytes: await heapUsed(), rssBytes: process.memoryUsage.rss() };
    case "verify":
      return (await verify(house.databases)).filter(({ broken }) => broken > 0);
    case "stop":
      await house.stop();
      setImmediate(() => process.exit(0));
      return undefined;
  }
}

obeyParent({ addresses: house.addresses, superuser: house.postgres?.superuser }, obey);
