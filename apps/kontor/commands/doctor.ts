import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "@kontor/platform/config/read-config.ts";
import { undefinedWhenMissing } from "@kontor/platform/database/embedded-failure.ts";
import { createLogger } from "@kontor/platform/telemetry/create-logger.ts";
import { readConfiguration } from "../configuration.ts";
import type { Configuration } from "../configuration.ts";
import { readArgs } from "./command.ts";
import type { Command } from "./command.ts";
import { checked, checkText } from "./doctor/check.ts";
import type { Check } from "./doctor/check.ts";
import { checkDatabases } from "./doctor/check-databases.ts";
import { checkMachine, hasShop } from "./doctor/check-machine.ts";
import { checkPorts } from "./doctor/check-ports.ts";
import { settingsTable } from "./doctor/settings.ts";

export const doctor: Command = {
  name: "doctor",
  summary: "check this machine, the settings and the data, and say what to do",
  usage: `Usage: kontor doctor

Shows every setting with its value and where that comes from, and checks Node, PostgreSQL, the data folder, the ports, the databases, and
whether events are parked or tasks dead. Changes nothing; exits with 1 when something is wrong.`,
  async run(args, { env, stdout }) {
    readArgs(args, {});
    stdout.write(`${settingsTable(env)}\n`);
    let wrong = 0;
    const print = (checks: readonly Check[]): void => {
      for (const check of checks) {
        if (check.verdict === "wrong") wrong++;
        stdout.write(checkText(stdout, check));
      }
    };
    const config = configurationOf(env, print);
    print(await checkMachine(config?.data ?? env["KONTOR_DATA"] ?? ".kontor"));
    if (config === undefined) return 1;
    print(await checkShop(config));
    return wrong === 0 ? 0 : 1;
  },
};

/** The configuration; undefined when it is not valid, with each problem printed. */
function configurationOf(
  env: Readonly<Record<string, string | undefined>>,
  print: (checks: readonly Check[]) => void,
): Configuration | undefined {
  try {
    const config = readConfiguration(env);
    print([{ verdict: "ok", about: "settings", text: "valid" }, ...checkProxies(config)]);
    return config;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    print(error.problems.map(({ variable, message }): Check => ({ verdict: "wrong", about: "settings", text: `${variable} ${message}` })));
    return undefined;
  }
}

/** The gateway speaks no TLS, so a proxy does at an https address. */
function checkProxies({ publicUrl, proxies }: Pick<Configuration, "publicUrl" | "proxies">): Check[] {
  if (publicUrl?.startsWith("https:") !== true || proxies > 0) return [];
  return [
    {
      verdict: "warn",
      about: "proxies",
      text: "KONTOR_PUBLIC_URL is https, and KONTOR_PROXIES is 0",
      advice: "All clients of a proxy count as one then, and share its limits: set KONTOR_PROXIES to the number of proxies.",
    },
  ];
}

async function checkShop(config: Configuration): Promise<Check[]> {
  // Its findings are the output; log lines would only separate them.
  const log = createLogger({ service: "kontor", level: "silent" });
  if (!(await hasShop(config.data)))
    return [
      { verdict: "ok", about: "databases", text: "not created yet: kontor start creates them" },
      ...(await checkPorts(config, false)),
    ];
  const key = await checked("master key", () => checkMasterKey(config));
  const { checks, running } = await checkDatabases(config, log);
  return [key, ...(await checkPorts(config, running)), ...checks];
}

/** Read here, because everything else that reads it creates a new one where it is missing. */
async function checkMasterKey({ masterKey, data }: Configuration): Promise<Check> {
  const about = "master key";
  const file = join(data, "master.key");
  const key = masterKey ?? (await readFile(file, "utf8").catch(undefinedWhenMissing))?.trim() ?? "";
  const advice = "Without the right one passwords and sessions are lost: restore it from a backup.";
  if (key === "") return { verdict: "wrong", about, text: `${file} is missing, though there is a shop`, advice };
  if (!/^[0-9a-f]{64}$/i.test(key))
    return { verdict: "wrong", about, text: `${masterKey === undefined ? file : "KONTOR_MASTER_KEY"} is not 64 hex digits`, advice };
  return { verdict: "ok", about, text: masterKey === undefined ? `stored in ${file}` : "from the environment" };
}
