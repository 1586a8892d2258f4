import { randomBytes } from "node:crypto";
import { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { readConfiguration } from "@kontor/kontor/configuration.ts";
import { openHouse } from "@kontor/kontor/house.ts";
import { verify } from "@kontor/kontor/verify/verify.ts";
import { rootCall } from "@kontor/platform/rpc/call.ts";
import { heapUsed } from "@kontor/platform/testing/heap-used.ts";
import { createLogger } from "@kontor/platform/telemetry/create-logger.ts";
import { makeProducts } from "./products.ts";

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
const call = () => rootCall({ caller: "bench", timeoutMs: 60_000 });

async function fill(products: number, stock: number): Promise<void> {
  const catalog = clients.of("catalog", CatalogService);
  const inventory = clients.of("inventory", InventoryService);
  const made = makeProducts(products);
  for (let at = 0; at < made.length; at += 100) {
    const batch = made.slice(at, at + 100);
    await catalog.importProducts({ products: batch }, call());
    const skus = batch.flatMap(({ product }) => product.variants.map(({ sku }) => sku));
    await inventory.importStock({ stock: skus.map((sku) => ({ sku, onHand: stock })) }, call());
  }
  await house.settle();
}

async function shoppers(count: number): Promise<{ email: string; password: string }[]> {
  const identity = clients.of("identity", IdentityService);
  return Promise.all(
    Array.from({ length: count }, async (_, at) => {
      const account = { email: `shopper${at}-${randomBytes(4).toString("hex")}@bench.example`, password: randomBytes(12).toString("hex") };
      await identity.createAccount({ ...account, name: `Shopper ${at}`, roles: [] }, call());
      return account;
    }),
  );
}

async function obey(order: Order): Promise<unknown> {
  switch (order.do) {
    case "fill":
      return fill(order.products, order.stock);
    case "shoppers":
      return shoppers(order.count);
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

process.on("message", (order: Order) => {
  obey(order).then(
    (answer) => process.send?.({ answer }),
    (error: unknown) => process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});
process.send?.({ ready: { addresses: house.addresses, superuser: house.postgres.superuser } });
