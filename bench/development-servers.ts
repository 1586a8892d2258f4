import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { connectionUrl } from "@kontor/platform/database/connection.ts";
import type { Connection } from "@kontor/platform/database/connection.ts";
import { developmentServers, serviceNames, variableOf } from "@kontor/kontor/roles.ts";
import { endProcess } from "./end-process.ts";
import { freePorts, inherited } from "./environment.ts";

type Role = (typeof developmentServers)[number];
type Variables = Readonly<Record<string, string>>;

/** Where the payment provider and the mailbox of a measured shop listen, each in a process of its own, as others' servers are. */
export interface DevelopmentServerPorts {
  readonly provider: number;
  readonly smtp: number;
  readonly mailbox: number;
}

export async function developmentServerPorts(): Promise<DevelopmentServerPorts> {
  const [provider, smtp, mailbox] = await freePorts(3);
  return { provider: provider!, smtp: smtp!, mailbox: mailbox! };
}

/** The variables with which a shop uses them instead of its own, which then have nothing to do. */
export function variablesForShop({ provider, smtp }: DevelopmentServerPorts): Variables {
  return { KONTOR_PROVIDER_URL: `http://127.0.0.1:${provider}`, KONTOR_SMTP_URL: `smtp://127.0.0.1:${smtp}` };
}

/** The processes, and the variables that say where their data is. */
export interface DevelopmentServers {
  readonly pids: Readonly<Record<Role, number>>;
  readonly databases: Variables;
  stop(): Promise<void>;
}

/** Starts both for a running shop, with databases on its PostgreSQL. `env` is the shop's, with its master key. */
export async function startDevelopmentServers(options: {
  readonly ports: DevelopmentServerPorts;
  readonly env: Variables;
  readonly superuser: Connection;
}): Promise<DevelopmentServers> {
  const { ports, env, superuser } = options;
  const databases = await createDatabases(superuser);
  // They call no service, but every process of a shop must know where the others are.
  const urls = Object.fromEntries(serviceNames.map((service) => [variableOf(service, "URL"), "grpc://127.0.0.1:9"]));
  const listen = {
    KONTOR_PROVIDER_PORT: String(ports.provider),
    KONTOR_SMTP_PORT: String(ports.smtp),
    KONTOR_MAILBOX_PORT: String(ports.mailbox),
  };
  const processes = new Map<Role, ChildProcess>();
  const stop = async (): Promise<void> => void (await Promise.all([...processes.values()].map(endProcess)));
  try {
    for (const role of developmentServers) {
      const child = fork(fileURLToPath(new URL("../apps/kontor/main.ts", import.meta.url)), ["start", role], {
        env: { ...inherited(), ...env, ...urls, ...databases, ...listen, KONTOR_INSTANCE: role },
        stdio: ["ignore", "inherit", "inherit", "ipc"],
        execArgv: [],
      });
      processes.set(role, child);
      const ended = once(child, "exit").then(([code]) => Promise.reject(new Error(`kontor start ${role} ended with ${String(code)}`)));
      ended.catch(() => undefined); // once it is ready its end is expected
      await Promise.race([once(child, "message"), ended]);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { pids: { mailbox: processes.get("mailbox")!.pid!, provider: processes.get("provider")!.pid! }, databases, stop };
}

async function createDatabases(superuser: Connection): Promise<Variables> {
  const client = new pg.Client({ ...superuser });
  await client.connect();
  try {
    const variables: Record<string, string> = {};
    for (const role of developmentServers) {
      const database = `bench_${role}`;
      await client.query(`create database ${database}`);
      variables[variableOf(role, "DATABASE_URL")] = connectionUrl({ ...superuser, host: "127.0.0.1", database });
    }
    return variables;
  } finally {
    await client.end();
  }
}
