import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { rm } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { eraseEmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import { afterTests } from "@kontor/platform/testing/postgres.ts";
import { testFolder } from "@kontor/platform/testing/server.ts";
import { freePorts } from "./free-ports.ts";
import { oneProcess } from "./topologies.ts";
import type { Topology } from "./topologies.ts";

const command = fileURLToPath(new URL("../apps/kontor/main.ts", import.meta.url));

/** A shop as its users start it: a process of its own, or several, on a data folder of its own, spoken to over HTTP. */
export interface ShopProcess {
  readonly api: string;
  readonly mailbox: string;
  readonly provider: string;
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Every line that it has printed so far. */
  readonly lines: readonly string[];
  readonly pid: number;
  /** The PostgreSQL that it has started or taken over last. */
  readonly postgresPid: number;
  /** Starts it again after `kill` or `stop`, on the same data and ports. */
  start(): Promise<void>;
  /** kill -9, of each of its processes. PostgreSQL lives on. */
  kill(): Promise<void>;
  /** kill -9 of one process of a cluster, by its name ("orders-1"), which is started again. Resolves when it is ready. */
  killOne(name: string): Promise<void>;
  /** The names of a cluster's processes. */
  readonly processes: readonly string[];
  /** SIGTERM; gives the exit code. */
  stop(): Promise<number | null>;
  /** Resolves with the exit code when it has ended, stopped or by itself. */
  readonly ended: Promise<number | null>;
  /** Runs another command of kontor on the same data. */
  run(args: readonly string[]): Promise<CommandResult>;
}

export interface CommandResult {
  readonly code: number | null;
  readonly output: string;
}

/** A few shoppers of a test leave more orders unpaid than those of a shop. */
const withoutHoldings = {
  KONTOR_INVENTORY_OPEN_ORDERS_PER_ACCOUNT: "0",
  KONTOR_INVENTORY_HELD_UNITS_PER_ACCOUNT: "0",
  KONTOR_INVENTORY_OPEN_ORDERS_PER_ADDRESS: "0",
  KONTOR_INVENTORY_HELD_UNITS_PER_ADDRESS: "0",
};

/** Starts a shop, without products by default; it is stopped and its data deleted after the test or suite that started it. */
export async function startShop(env: Readonly<Record<string, string>> = {}, topology: Topology = oneProcess): Promise<ShopProcess> {
  const folder = await testFolder();
  const [port, mailbox, smtp, provider] = await freePorts(4);
  const environment: Record<string, string> = {
    KONTOR_DATA: folder,
    KONTOR_PORT: String(port),
    KONTOR_MAILBOX_PORT: String(mailbox),
    KONTOR_SMTP_PORT: String(smtp),
    KONTOR_PROVIDER_PORT: String(provider),
    KONTOR_LOG_FORMAT: "json",
    KONTOR_SEED: "none",
    ...withoutHoldings,
    ...(await topology.environment()),
    ...env,
  };
  const lines: string[] = [];
  /** The pids of a cluster's processes, by name, and who waits for one to be ready. */
  const pids = new Map<string, number>();
  const readiness = new EventEmitter();
  let child: ChildProcess | undefined;
  let ended: Promise<number | null> = Promise.resolve(null);

  const note = (line: string): void => {
    const { process: name, pid, state } = JSON.parse(line) as { process: string; pid: number; state: string };
    pids.set(name, pid);
    if (state === "ready") readiness.emit(name);
  };
  const start = async (): Promise<void> => {
    const started = spawn(process.execPath, [command, ...topology.command], {
      env: cleanEnv(environment),
      stdio: ["ignore", "pipe", "pipe"],
    });
    child = started;
    ended = once(started, "exit").then(([code]) => code as number | null);
    const ready = new Promise<void>((resolve) => {
      for (const stream of [started.stdout, started.stderr])
        createInterface({ input: stream }).on("line", (line) => {
          lines.push(line);
          if (line.includes('"message":"process"')) note(line);
          if (line.includes('"message":"ready"') && line.includes('"api"')) resolve();
        });
    });
    const failed = ended.then((code) => {
      throw new Error(
        `the shop ended with ${String(code)} before it was ready:\n${lines
          .filter((line) => !line.includes('"level":"info"'))
          .slice(-20)
          .join("\n")}`,
      );
    });
    await Promise.race([ready, failed]);
    failed.catch(() => undefined); // from now on the test decides what its end means
  };
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    const running = child;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return running?.exitCode ?? null;
    running.kill(signal);
    if (signal === "SIGKILL") for (const pid of pids.values()) killProcess(pid);
    return ended;
  };
  afterTests(async () => {
    await end("SIGKILL");
    if (topology.embedded) await eraseEmbeddedPostgres(folder);
    else await (await import("@kontor/platform/testing/erase-servers.ts")).eraseServers(environment["KONTOR_NAMESPACE"]!);
    await rm(folder, { recursive: true, force: true });
  });
  await start();
  return {
    api: `http://127.0.0.1:${port}`,
    mailbox: `http://127.0.0.1:${mailbox}`,
    provider: `http://127.0.0.1:${provider}`,
    folder,
    environment,
    lines,
    get pid() {
      return child?.pid ?? 0;
    },
    get ended() {
      return ended;
    },
    get postgresPid() {
      const line = lines.findLast((text) => text.includes("PostgreSQL runs") || text.includes("PostgreSQL was running"));
      return (JSON.parse(line!) as { pid: number }).pid;
    },
    start,
    kill: async () => void (await end("SIGKILL")),
    killOne: async (name) => {
      const again = once(readiness, name);
      killProcess(pids.get(name)!);
      await again;
    },
    get processes() {
      return [...pids.keys()];
    },
    stop: () => end("SIGTERM"),
    run: (args) => runCommand(args, environment),
  };
}

/** Runs a command of kontor to its end. */
export async function runCommand(args: readonly string[], environment: Readonly<Record<string, string>>): Promise<CommandResult> {
  const child = spawn(process.execPath, [command, ...args], { env: cleanEnv(environment), stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, output };
}

/** Nothing happens when it has ended by itself. */
function killProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** The environment of a shop: this process's without its own settings, with these. */
export function cleanEnv(environment: Readonly<Record<string, string>>): Record<string, string | undefined> {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("KONTOR_") && name !== "NODE_TEST_CONTEXT");
  return { ...Object.fromEntries(inherited), ...environment };
}
