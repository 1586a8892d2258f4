import { setTimeout as sleep } from "node:timers/promises";
import { compareProducts, rebuildAvailability, rebuildIndex } from "@kontor/catalog/src/rebuild.ts";
import { compareStock } from "@kontor/inventory/src/rebuild.ts";
import { compareOrders } from "@kontor/orders/src/rebuild.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import { rootCall } from "@kontor/platform/call/call.ts";
import type { HostedService } from "@kontor/platform/service/host-service.ts";
import { listTasks } from "@kontor/platform/tasks/admin.ts";
import type { App } from "../app.ts";
import { parsedArgs, UsageError } from "./command.ts";
import type { Command, Output } from "./command.ts";
import { shopRuns } from "./app/shop-runs.ts";
import { withApp } from "./app/with-app.ts";
import { paint, plain } from "./terminal/paint.ts";

/** Compares a page of a service's state with its events: undefined behind the last one. */
type Compare = (
  queries: Queries,
  after: string,
  limit: number,
) => Promise<{ last: string; compared: number; differences: string[] } | undefined>;

const compared: readonly { readonly service: string; readonly what: string; readonly compare: Compare }[] = [
  { service: "catalog", what: "products", compare: compareProducts },
  { service: "inventory", what: "SKUs", compare: compareStock },
  { service: "orders", what: "orders", compare: compareOrders },
];
const pageSize = 500;
const differencesMax = 20;
const lookAgainMs = 100;

export const rebuild: Command = {
  name: "rebuild",
  summary: "fill what is derived from events anew, and compare the rest with them",
  usage: `Usage: kontor rebuild [catalog|inventory|orders] [--check]

Fills catalog's search index anew while the old one answers, and its copy of the stock figures, of which some are missing for a moment. Then
compares products, stock and orders with what their events say, and exits with 1 when something differs. Beside a running shop or without one.

  --check   only compare, change nothing`,
  async run(args, context) {
    const { values, positionals } = parsedArgs(args, { check: { type: "boolean" } });
    const unknown = positionals.find((name) => !compared.some(({ service }) => service === name));
    if (unknown !== undefined) throw new UsageError(`"${unknown}" is none of ${compared.map(({ service }) => service).join(", ")}`);
    const wanted = compared.filter(({ service }) => positionals.length === 0 || positionals.includes(service));
    return withApp(context, async (app) => {
      if (values.check !== true && wanted.some(({ service }) => service === "catalog")) await rebuildCatalog(app, context.stdout);
      let differing = 0;
      for (const { service, what, compare } of wanted)
        differing += await compareAll(app.databases.get(service)!, { service, what, compare }, context.stdout);
      return differing === 0 ? 0 : 1;
    });
  },
};

async function rebuildCatalog(app: App, output: Output): Promise<void> {
  const catalog = app.services.find(({ name }) => name === "catalog")!;
  const { database, tasks } = catalog;
  const call = rootCall({ caller: "kontor", timeoutMs: 60_000 });
  // A shop that runs does the work; without one, or where that cannot be told, this process does (too).
  const helped = app.postgres !== undefined && (await shopRuns(app.postgres.superuser));
  if (!helped) await Promise.all([tasks.start(), app.relays.start(), catalog.subscriptions.start()]);
  try {
    const products = await rebuildIndex({ database, tasks }, call);
    await rebuildAvailability(database);
    await Promise.all([indexed(catalog, call.correlation), catalog.subscriptions.caughtUp()]);
    output.write(`catalog    search index filled anew with ${products.toLocaleString("en")} products; stock figures read anew\n`);
  } finally {
    if (!helped) {
      await catalog.subscriptions.stop();
      await app.relays.stop();
      await tasks.stop();
    }
  }
}

/** Resolves when no task of this rebuild waits any more. */
async function indexed({ database }: HostedService, correlation: string): Promise<void> {
  for (;;) {
    const waiting = await listTasks(database, { state: "waiting", limit: 10_000 });
    if (!waiting.some((task) => task.correlation === correlation)) return;
    await sleep(lookAgainMs);
  }
}

async function compareAll(queries: Queries, { service, what, compare }: (typeof compared)[number], output: Output): Promise<number> {
  let count = 0;
  const differences: string[] = [];
  let differing = 0;
  for (let after = ""; ;) {
    const page = await compare(queries, after, pageSize);
    if (page === undefined) break;
    after = page.last;
    count += page.compared;
    differing += page.differences.length;
    differences.push(...page.differences.slice(0, differencesMax - differences.length));
  }
  const verdict =
    differing === 0 ? paint(output, "green", "all as their events say") : paint(output, "red", `${differing.toLocaleString("en")} differ`);
  output.write(`${service.padEnd(10)} ${count.toLocaleString("en")} ${what} compared: ${verdict}\n`);
  for (const difference of differences) output.write(`           ${plain(difference)}\n`);
  if (differing > differences.length) output.write(`           and ${(differing - differences.length).toLocaleString("en")} more\n`);
  return differing;
}
