import { isUntouched } from "@kontor/catalog/src/is-untouched.ts";
import { createLogger } from "@kontor/platform/telemetry/create-logger.ts";
import { stopOnSignals } from "@kontor/platform/lifecycle/stop-on-signals.ts";
import { stopWithParent } from "@kontor/platform/lifecycle/stop-with-parent.ts";
import { readConfiguration } from "../configuration.ts";
import type { App } from "../app.ts";
import { allRoles } from "../roles.ts";
import type { Role } from "../roles.ts";
import { parsedArgs, UsageError } from "./command.ts";
import type { Command, Output } from "./command.ts";
import { open } from "./app/with-app.ts";
import { paint } from "./terminal/paint.ts";

export const start: Command = {
  name: "start",
  summary: "start the shop: everything in this one process, or some of its services",
  usage: `Usage: kontor start [service …]

Starts PostgreSQL, all services, the payment provider and the mailbox, until Ctrl-C. An empty shop gets the demo catalogue,
unless KONTOR_SEED=none. Every setting is an environment variable: kontor doctor lists them.

With names, only those run in this process: ${allRoles.join(", ")}.
KONTOR_<SERVICE>_URL says where each other service is, and KONTOR_RPC where these listen. kontor cluster does that for one machine.`,
  async run(args, { env, stdout }) {
    // npm may have ended by the time the app is open.
    const parent = process.ppid;
    const roles = rolesIn(args);
    const config = readConfiguration(env);
    const format = config.logFormat ?? (stdout.isTTY === true ? "pretty" : "json");
    const log = createLogger({ service: "kontor", level: config.logLevel, format });
    const app = await open(config, log, "shop", roles);
    const { stop } = stopOnSignals({ lifecycle: app.lifecycle, log });
    if (env["npm_lifecycle_event"] !== undefined) stopWithParent(() => stop("npm has ended"), parent);
    if (roles !== undefined) {
      // A process of a cluster does not outlive the one that started it.
      const orphaned = (): void => stop("the supervisor has ended");
      process.once("disconnect", orphaned);
      if (process.send !== undefined && !process.connected) {
        orphaned();
        return 0;
      }
      log.info({ roles }, "ready");
      process.send?.({ ready: true });
      return 0;
    }
    const seeded = config.seed === "demo" ? await seedWhenEmpty(app) : undefined;
    const seconds = process.uptime().toFixed(1);
    if (format === "json") log.info({ ...app.addresses, seeded: seeded ?? 0, seconds: Number(seconds) }, "ready");
    else stdout.write(welcome(stdout, app, seeded, seconds));
    return 0;
  },
};

/** The words as roles; undefined for no words, which means all. Throws `UsageError` for a word that is no role. */
function rolesIn(args: readonly string[]): readonly Role[] | undefined {
  const { positionals } = parsedArgs(args, {});
  const roles = positionals.map((word) => {
    const role = allRoles.find((one) => one === word);
    if (role === undefined) throw new UsageError(`there is no service "${word}": ${allRoles.join(", ")}`);
    return role;
  });
  return roles.length === 0 ? undefined : roles;
}

async function seedWhenEmpty(app: App): Promise<number | undefined> {
  if (!(await isUntouched(app.databases.get("catalog")!))) return undefined;
  const { seedDemo } = await import("../demo/seed-demo.ts");
  const { created } = await seedDemo(app.clientsFor("kontor"));
  // The shop looks empty until its search index is filled.
  await app.settle();
  return created;
}

function welcome(output: Output, { addresses }: App, seeded: number | undefined, seconds: string): string {
  const rows = [
    ["API", addresses.api],
    ["Documentation", `${addresses.api}/docs`],
    ["Mailbox", addresses.mailbox],
    ["Payment provider", addresses.provider],
  ].map(([name = "", address = ""]) => `  ${name.padEnd(18)}${paint(output, "cyan", address)}\n`);
  const hints = [
    ["npx kontor walk", "a customer's way from registration to a paid order"],
    ["npx kontor user create", "create an administrator (--role admin)"],
    ["npx kontor --help", "everything else"],
  ].map(([command = "", about = ""]) => `  ${paint(output, "bold", command.padEnd(24))}${about}\n`);
  const demo =
    seeded === undefined ? "" : `\n  The shop was empty: ${seeded} demo products are in it now (KONTOR_SEED=none for an empty one).\n`;
  return `\n${rows.join("")}${demo}\n${hints.join("")}\n${paint(output, "green", `Kontor is ready after ${seconds} s.`)} Ctrl-C stops it.\n`;
}
