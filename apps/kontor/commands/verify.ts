import { pendingMigrations } from "@kontor/platform/database/migrate.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import { readConfiguration } from "../configuration.ts";
import { migrationsOf } from "../migrations.ts";
import { serviceNames } from "../roles.ts";
import { openDatabases } from "../verify/open-databases.ts";
import { findingText, summaryText } from "../verify/report.ts";
import { invariants, verify as verifyDatabases } from "../verify/verify.ts";
import { CommandError, readArgs, UsageError } from "./command.ts";
import type { Command } from "./command.ts";
import { explainOpening } from "./app/explain-opening.ts";
import { quietLogger } from "./app/with-app.ts";

export const verify: Command = {
  name: "verify",
  summary: "check what must always hold: stock, orders, money, mails, events",
  usage: `Usage: kontor verify [--only I1,I3] [--json]

Reads all databases, beside a running shop or without one, changes nothing, and exits with 1 when an invariant is broken.
  --only   only these invariants: ${invariants.map(({ id }) => id).join(", ")}
  --json   print { "ok", "running", "findings" } instead of text`,
  async run(args, context) {
    const { values } = readArgs(args, { only: { type: "string" }, json: { type: "boolean" } });
    const only = values.only?.split(",").map((id) => id.trim().toUpperCase());
    const unknown = only?.find((id) => !invariants.some((invariant) => invariant.id === id));
    if (unknown !== undefined) throw new UsageError(`there is no invariant "${unknown}"`);
    const config = readConfiguration(context.env);
    const { databases, running, stop } = await openDatabases(config, quietLogger(context)).catch((error: unknown) => {
      throw explainOpening(error, config);
    });
    const { stdout } = context;
    try {
      await expectMigrated(databases);
      const findings = await verifyDatabases(databases, {
        running,
        mailsCaught: config.smtpUrl === undefined,
        ...(only !== undefined && { only }),
        ...(values.json !== true && { found: (finding) => stdout.write(findingText(stdout, finding)) }),
      });
      const ok = findings.every(({ broken }) => broken === 0);
      stdout.write(values.json === true ? `${JSON.stringify({ ok, running, findings }, undefined, 2)}\n` : `\n${summaryText(findings)}`);
      return ok ? 0 : 1;
    } finally {
      await stop();
    }
  },
};

/** What the version before has written can be read when this version has brought it up to date, which a command that changes nothing does not do. */
async function expectMigrated(databases: ReadonlyMap<string, Queries>): Promise<void> {
  const pending: string[] = [];
  for (const [name, sets] of migrationsOf(serviceNames))
    pending.push(...(await pendingMigrations(databases.get(name)!, sets)).map((file) => `${name}: ${file}`));
  if (pending.length > 0)
    throw new CommandError(`${pending.length} migrations are not applied yet, the first is ${pending[0]!}: kontor start applies them`);
}
