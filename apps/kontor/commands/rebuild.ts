import { setTimeout as sleep } from "node:timers/promises";
import type { Queries } from "@kontor/platform/database/database.ts";
import { rootCall } from "@kontor/platform/call/call.ts";
import type { HostedService } from "@kontor/platform/service/host-service.ts";
import type { ServiceRebuild } from "@kontor/platform/service/rebuild.ts";
import { listTasks } from "@kontor/platform/tasks/admin.ts";
import type { App } from "../app.ts";
import { definitions } from "../roles.ts";
import { parsedArgs, UsageError } from "./command.ts";
import type { Command, Output } from "./command.ts";
import { shopRuns } from "./app/shop-runs.ts";
import { withApp } from "./app/with-app.ts";
import { paint, plain } from "./terminal/paint.ts";

const pageSize = 500;
const differencesMax = 20;
const pollMs = 100;

export const rebuild: Command = {
  name: "rebuild",
  summary: "rebuild what is derived from events, and compare the rest with them",
  usage: `Usage: kontor rebuild [SERVICE …] [--check]

Rebuilds what services derive from events (catalog's search index, while the old one is searched, and its copy of the stock figures, of which
some are missing for a moment). Then compares their state with what their events say (products, stock, orders), and exits with 1 when something
differs. Beside a running shop or without one.

  --check   only compare, change nothing`,
  async run(args, context) {
    const { values, positionals } = parsedArgs(args, { check: { type: "boolean" } });
    const rebuilds = await loadRebuilds(positionals);
    return withApp(context, async (app) => {
      if (values.check !== true) await refillAll(app, rebuilds, context.stdout);
      let differing = 0;
      for (const [service, { compares, compare }] of rebuilds)
        differing += await compareAll(app.databases.get(service)!, { service, compares, compare }, context.stdout);
      return differing === 0 ? 0 : 1;
    });
  },
};

/** How the named services are rebuilt; all that can be when none is named. Throws `UsageError` for a service that cannot be. */
async function loadRebuilds(names: readonly string[]): Promise<ReadonlyMap<string, ServiceRebuild>> {
  const able = definitions.filter(({ rebuild: load }) => load !== undefined);
  const unknown = names.find((name) => !able.some((definition) => definition.name === name));
  if (unknown !== undefined)
    throw new UsageError(`"${unknown}" has nothing to rebuild; these have: ${able.map(({ name }) => name).join(", ")}`);
  const wanted = able.filter(({ name }) => names.length === 0 || names.includes(name));
  return new Map(await Promise.all(wanted.map(async ({ name, rebuild: load }) => [name, await load!()] as const)));
}

async function refillAll(app: App, rebuilds: ReadonlyMap<string, ServiceRebuild>, output: Output): Promise<void> {
  const derived = app.services.flatMap((service) => {
    const refill = rebuilds.get(service.name)?.refill;
    return refill === undefined ? [] : [{ service, refill }];
  });
  if (derived.length === 0) return;
  // A shop that runs does the work; without one, or where that cannot be known, this process does (too).
  const running = app.postgres !== undefined && (await shopRuns(app.postgres.superuser));
  const parts = derived.flatMap(({ service }) => [service.tasks, service.subscriptions]);
  if (!running) await Promise.all([app.relays, ...parts].map((part) => part.start()));
  try {
    for (const { service, refill } of derived) {
      const call = rootCall({ caller: "kontor", timeoutMs: 60_000 });
      const filled = await refill(service, call);
      await Promise.all([tasksDone(service, call.correlation), running ? eventsApplied(service) : service.subscriptions.caughtUp()]);
      output.write(`${service.name.padEnd(10)} ${filled}\n`);
    }
  } finally {
    if (!running) for (const part of [...parts.toReversed(), app.relays]) await part.stop();
  }
}

/** Resolves when no task of this rebuild waits any more. */
async function tasksDone({ database }: HostedService, correlation: string): Promise<void> {
  for (;;) {
    const waiting = await listTasks(database, { state: "waiting", limit: 10_000 });
    if (!waiting.some((task) => task.correlation === correlation)) return;
    await sleep(pollMs);
  }
}

/** Resolves when the shop that runs has applied all events to the service. */
async function eventsApplied({ subscriptions }: HostedService): Promise<void> {
  while ((await subscriptions.status()).some(({ lag }) => lag > 0)) await sleep(pollMs);
}

async function compareAll(
  queries: Queries,
  { service, compares, compare }: Pick<ServiceRebuild, "compares" | "compare"> & { readonly service: string },
  output: Output,
): Promise<number> {
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
  output.write(`${service.padEnd(10)} ${count.toLocaleString("en")} ${compares} compared: ${verdict}\n`);
  for (const difference of differences) output.write(`           ${plain(difference)}\n`);
  if (differing > differences.length) output.write(`           and ${(differing - differences.length).toLocaleString("en")} more\n`);
  return differing;
}
