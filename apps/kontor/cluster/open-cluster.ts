import { isUntouched } from "@kontor/catalog/src/is-untouched.ts";
import { createLifecycle } from "@kontor/platform/lifecycle/lifecycle.ts";
import type { Lifecycle } from "@kontor/platform/lifecycle/lifecycle.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Configuration } from "../configuration.ts";
import { seedDemo } from "../demo/seed-demo.ts";
import { openApp } from "../app.ts";
import { addressesOf } from "../installation.ts";
import type { Addresses } from "../installation.ts";
import { masterKeyOf } from "../master-key.ts";
import { databaseNames, serviceNames, variableOf } from "../roles.ts";
import { openStorage } from "../storage.ts";
import { planCluster } from "./plan.ts";
import { Supervisor } from "./supervisor.ts";
import type { SupervisorOptions } from "./supervisor.ts";

export interface ClusterOptions extends Omit<SupervisorOptions, "processes"> {
  readonly config: Configuration;
  readonly log: Logger;
  readonly replicas: number;
  readonly ports: () => number;
  readonly certs?: string;
}

export interface Cluster {
  readonly lifecycle: Lifecycle;
  readonly addresses: Addresses;
  /** How many processes there are. */
  readonly processes: number;
  /** Where each service listens: "grpc://127.0.0.1:4010,127.0.0.1:4011". */
  readonly services: Readonly<Record<string, string>>;
}

/** How many connections a process of the cluster opens at most, unless KONTOR_CONNECTIONS says otherwise. */
const connectionsEach = 16;

/** Starts the shop as a process per service; this process holds the storage. Throws, with what to do, when the storage or a process does not start. */
export async function openCluster({ config, log, replicas, ports, certs, env, line, changed }: ClusterOptions): Promise<Cluster> {
  const masterKey = await masterKeyOf(config.masterKey, config.data);
  const lifecycle = createLifecycle({ log });
  let supervisor: Supervisor | undefined;
  const storage = await openStorage({
    config,
    names: databaseNames,
    masterKey,
    shop: true,
    log,
    // For an embedded server: so many processes, each with connections of its own.
    settings: { max_connections: String(Math.max(100, 40 + connectionsEach * serviceNames.length * replicas)) },
    died: (error) => {
      log.error({ error }, "PostgreSQL has ended unexpectedly; the cluster stops at once, start it again");
      process.exitCode = 1;
      supervisor?.kill();
      lifecycle.fail(error);
      void lifecycle.stop();
    },
  });
  const { connections, replicas: replicaConnections } = storage;
  const processes = planCluster({
    config,
    masterKey,
    replicas,
    connections,
    replicaConnections,
    ports,
    ...(certs !== undefined && { certs }),
  });
  const supervised = (supervisor = new Supervisor({
    processes,
    env: { KONTOR_CONNECTIONS: String(connectionsEach), ...env },
    line,
    changed,
  }));
  lifecycle.add({ name: "storage", stop: () => storage.stop() });
  lifecycle.add({ name: "installation lock", stop: () => storage.release() });
  lifecycle.add({
    name: "processes",
    start: async () => {
      try {
        await supervised.start();
      } catch (error) {
        await supervised.stop();
        throw error;
      }
    },
    stop: () => supervised.stop(),
  });
  lifecycle.add({ name: "demo catalogue", start: () => (config.seed === "demo" ? seed() : undefined) });
  await lifecycle.start();
  const services = Object.fromEntries(serviceNames.map((name) => [name, processes[0]!.env[variableOf(name, "URL")]!])); // every process knows them
  return { lifecycle, addresses: addressesOf(config), processes: processes.length, services };

  /** Fills an empty shop through its own services, beside the cluster. */
  async function seed(): Promise<void> {
    const app = await openApp({ config, log, as: "attached" });
    try {
      if (await isUntouched(app.databases.get("catalog")!)) await seedDemo(app.clientsFor("kontor"));
    } finally {
      await app.stop();
    }
  }
}
