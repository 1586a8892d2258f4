import { join } from "node:path";
import { connectionUrl } from "@kontor/platform/database/connection.ts";
import type { Connection } from "@kontor/platform/database/connection.ts";
import type { Configuration } from "../configuration.ts";
import { allRoles, serviceNames } from "../roles.ts";
import type { Role } from "../roles.ts";

/** A process that a cluster is made of. */
export interface PlannedProcess {
  /** "catalog-2" */
  readonly name: string;
  readonly role: Role;
  /** What it needs beyond the cluster's own environment. */
  readonly env: Readonly<Record<string, string>>;
}

export interface PlanOptions {
  readonly config: Configuration;
  readonly masterKey: Uint8Array;
  /** How many of each service and of the gateway. */
  readonly replicas: number;
  readonly connections: ReadonlyMap<string, Connection>;
  readonly replicaConnections: ReadonlyMap<string, Connection>;
  /** A free port for each process that serves others. */
  readonly ports: () => number;
  /** The folder with what `kontor certs` has made: then they speak TLS with each other, each with its own certificate. */
  readonly certs?: string;
}

const host = "127.0.0.1";

/** A house as a process per service: which there are, and what each is told of the others. */
export function planCluster({ config, masterKey, replicas, connections, replicaConnections, ports, certs }: PlanOptions): PlannedProcess[] {
  const scheme = certs === undefined ? "grpc" : "grpcs";
  const servers = serviceNames.flatMap((role) => Array.from({ length: replicas }, (_, at) => ({ role, at, port: ports() })));
  const shared: Record<string, string> = { KONTOR_MASTER_KEY: Buffer.from(masterKey).toString("hex") };
  for (const role of serviceNames) {
    const addresses = servers.filter((server) => server.role === role).map(({ port }) => `${host}:${port}`);
    shared[`KONTOR_${role.toUpperCase()}_URL`] = `${scheme}://${addresses.join(",")}`;
  }
  const databaseOf = (role: Role): Record<string, string> => {
    const connection = connections.get(role);
    const replica = replicaConnections.get(role);
    return {
      ...(connection && { [`KONTOR_${role.toUpperCase()}_DATABASE_URL`]: connectionUrl(connection) }),
      ...(replica && { [`KONTOR_${role.toUpperCase()}_DATABASE_REPLICA_URL`]: connectionUrl(replica) }),
    };
  };
  const certificateOf = (role: Role): Record<string, string> =>
    certs === undefined
      ? {}
      : { KONTOR_TLS_CA: join(certs, "ca.crt"), KONTOR_TLS_CERT: join(certs, `${role}.crt`), KONTOR_TLS_KEY: join(certs, `${role}.key`) };
  const services = servers.map(({ role, at, port }): PlannedProcess => {
    // Every process has its own, so each has the ports of the others' services but not its own.
    const env = { ...shared, ...databaseOf(role), KONTOR_RPC: `${scheme}://${host}:${port}`, KONTOR_INSTANCE: `${role}-${at + 1}` };
    return { name: `${role}-${at + 1}`, role, env };
  });
  // Only Linux spreads the connections to a port over the processes that share it.
  const gatewayCount = process.platform === "linux" ? replicas : 1;
  const gateways = Array.from({ length: gatewayCount }, (_, at): PlannedProcess => {
    const name = `gateway-${at + 1}`;
    return { name, role: "gateway", env: { ...shared, KONTOR_INSTANCE: name, KONTOR_SHARE_PORT: String(gatewayCount > 1) } };
  });
  const developmentServers = allRoles
    .filter((role) => (role === "mailbox" && config.smtpUrl === undefined) || (role === "provider" && config.providerUrl === undefined))
    .map((role): PlannedProcess => ({ name: role, role, env: { ...shared, ...databaseOf(role), KONTOR_INSTANCE: role } }));
  const all = [...developmentServers, ...services, ...gateways].map((process) => ({
    ...process,
    env: { ...process.env, ...certificateOf(process.role) },
  }));
  if (config.opsPort === undefined) return all;
  // One after the other, from the one that is given on.
  const first = config.opsPort;
  return all.map((process, at) => ({ ...process, env: { ...process.env, KONTOR_OPS_PORT: String(first + at) } }));
}
