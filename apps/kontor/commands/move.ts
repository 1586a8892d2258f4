import { readConfiguration } from "../configuration.ts";
import { moveInstallation } from "../move/move-installation.ts";
import { openDatabases } from "../verify/open-databases.ts";
import { findingText, summaryText } from "../verify/report.ts";
import { verify } from "../verify/verify.ts";
import { readArgs } from "./command.ts";
import type { Command } from "./command.ts";
import { explainOpening } from "./app/explain-opening.ts";
import { quietLogger } from "./app/with-app.ts";

export const move: Command = {
  name: "move",
  summary: "copy the embedded shop, while it does not run, to the configured servers",
  usage: `Usage: kontor move

Copies the shop in KONTOR_DATA to the PostgreSQL of KONTOR_DATABASE_URL (or of each KONTOR_<SERVICE>_DATABASE_URL), and its documents to
KONTOR_<SERVICE>_DOCUMENTS where that is set, then checks the copy as kontor verify does. The shop must not run, and the servers must not have one.
Events and tasks continue where they were. Afterwards: the same variables, KONTOR_MASTER_KEY with the content of master.key, and kontor start or
kontor cluster; with KONTOR_SEARCH the index is filled by itself. The data folder stays as it is, and cannot be started again by mistake.`,
  async run(args, context) {
    readArgs(args, {});
    const { env, stdout } = context;
    const config = readConfiguration(env);
    const log = quietLogger(context);
    await moveInstallation({
      config,
      log,
      moved: (what, rows) => stdout.write(`${what.padEnd(22)} ${rows.toLocaleString("en").padStart(12)} rows\n`),
    }).catch((error: unknown) => {
      throw explainOpening(error, config);
    });
    const { databases, stop } = await openDatabases(config, log);
    try {
      stdout.write("\n");
      const findings = await verify(databases, {
        mailsCaught: config.smtpUrl === undefined,
        found: (finding) => stdout.write(findingText(stdout, finding)),
      });
      stdout.write(`\n${summaryText(findings)}`);
      return findings.every(({ broken }) => broken === 0) ? 0 : 1;
    } finally {
      await stop();
    }
  },
};
