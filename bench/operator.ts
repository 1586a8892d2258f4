import { readConfiguration } from "@kontor/kontor/configuration.ts";
import { openApp } from "@kontor/kontor/app.ts";
import { verify } from "@kontor/kontor/verify/verify.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { createLogger } from "@kontor/platform/telemetry/create-logger.ts";
import { fill, shoppers } from "./compose-shop.ts";
import { serveParent } from "./serve-parent.ts";

// Beside a running shop, on its data, whatever that shop is made of: fills it, counts and checks.

export type OperatorCommand =
  | { readonly do: "fill"; readonly products: number; readonly stock: number }
  | { readonly do: "shoppers"; readonly count: number }
  | { readonly do: "count" }
  | { readonly do: "orders" }
  | { readonly do: "verify" }
  | { readonly do: "stop" };

const log = createLogger({ service: "operator", level: "warn", format: "json" });
const app = await openApp({ config: readConfiguration(process.env), log, as: "attached" });
const clients = app.clientsFor("kontor");

async function count(table: "events" | "tasks"): Promise<number> {
  const counts = await Promise.all(
    app.services.map(({ database }) =>
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
    const after = (await Promise.all(app.services.map((service) => service.progress()))).join();
    const due = await Promise.all(
      app.services.map(({ database }) =>
        database.one<{ due: number }>(sql`select count(*)::float8 as due from tasks where state = 'waiting' and due_at <= now()`),
      ),
    );
    if (after === before && due.every((row) => row.due === 0)) return;
    before = after;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

async function execute(order: OperatorCommand): Promise<unknown> {
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
      return (await app.databases.get("orders")!.one<{ count: number }>(sql`select count(*)::float8 as count from orders`)).count;
    case "verify":
      return (await verify(app.databases)).filter(({ broken }) => broken > 0);
    case "stop":
      await app.stop();
      setImmediate(() => process.exit(0));
      return undefined;
  }
}

serveParent({ superuser: app.postgres?.superuser }, execute, () => execute({ do: "stop" }));
