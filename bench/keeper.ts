import { readConfiguration } from "@kontor/kontor/configuration.ts";
import { openHouse } from "@kontor/kontor/house.ts";
import { verify } from "@kontor/kontor/verify/verify.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { createLogger } from "@kontor/platform/telemetry/create-logger.ts";
import { fill, shoppers } from "./furnish.ts";
import { obeyParent } from "./obey.ts";

// Beside a running shop, on its data, whatever that shop is made of: fills it, counts and checks.

export type KeeperOrder =
  | { readonly do: "fill"; readonly products: number; readonly stock: number }
  | { readonly do: "shoppers"; readonly count: number }
  | { readonly do: "count" }
  | { readonly do: "orders" }
  | { readonly do: "verify" }
  | { readonly do: "stop" };

const log = createLogger({ service: "keeper", level: "warn", format: "json" });
const house = await openHouse({ config: readConfiguration(process.env), log, as: "attached" });
const clients = house.clientsFor("kontor");

async function count(table: "events" | "tasks"): Promise<number> {
  const counts = await Promise.all(
    house.services.map(({ database }) =>
      database.one<{ count: number }>(
        table === "events" ? sql`select count(*)::float8 as count from events` : sql`select count(*)::float8 as count from tasks`,
      ),
    ),
  );
  return counts.reduce((sum, row) => sum + row.count, 0);
}

/** Waits until the shop's own processes have done all that there is to do. */
async function settled(): Promise<void> {
  for (let before = ""; ;) {
    const after = (await Promise.all(house.services.map((service) => service.marks()))).join();
    const due = await Promise.all(
      house.services.map(({ database }) =>
        database.one<{ due: number }>(sql`select count(*)::float8 as due from tasks where state = 'waiting' and due_at <= now()`),
      ),
    );
    if (after === before && due.every((row) => row.due === 0)) return;
    before = after;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

async function obey(order: KeeperOrder): Promise<unknown> {
  switch (order.do) {
    case "fill":
      await fill(clients, order);
      return settled();
    case "shoppers":
      return shoppers(clients, order.count);
    case "count":
      await settled();
      return { events: await count("events"), tasks: await count("tasks") };
    case "orders":
      return (await house.databases.get("orders")!.one<{ count: number }>(sql`select count(*)::float8 as count from orders`)).count;
    case "verify":
      return (await verify(house.databases)).filter(({ broken }) => broken > 0);
    case "stop":
      await house.stop();
      setImmediate(() => process.exit(0));
      return undefined;
  }
}

obeyParent({ superuser: house.postgres?.superuser }, obey);
