import { join } from "node:path";
import { connectionUrl } from "@kontor/platform/database/connection.ts";
import type { Connection } from "@kontor/platform/database/connection.ts";
import type { Configuration } from "../configuration.ts";
import { developmentServers as developmentRoles, serviceNames, variableOf } from "../roles.ts";
import type { Role } from "../roles.ts";

/** A process of a cluster. */
export interface PlannedProcess {
  /** "catalog-2" */
  readonly name: string;
  readonly role: Role;
  /** The variables that it needs beyond the cluster's own. */
  readonly env: Readonly<Record<string, string>>;
}

export interface PlanOptions {
  readonly config: Configuration;
  readonly masterKey: Uint8Array;
  /** How many of each service and of the gateway. */
  readonly replicas: number;
  readonly connections: ReadonlyMap<string, Connection>;
  readonly replicaConnections: ReadonlyMap<string, Connection>;
  /** Gives a free port for each process that others call. */
  readonly ports: () => number;
  /** The folder of `kontor certs --out`: with it they speak TLS with each other, each with its own certificate. */
  readonly certs?: string;
}

const host = "127.0.0.1";

/** The shop as a process per service: which processes there are, and the variables of each. */
export function planCluster({ config, masterKey, replicas, connections, replicaConnections, ports, certs }: PlanOptions): PlannedProcess[] {
  const scheme = certs === undefined ? "grpc" : "grpcs";
  const servers = serviceNames.flatMap((role) => Array.from({ length: replicas }, (_, at) => ({ role, at, port: ports() })));
  const shared: Record<string, string> = { KONTOR_MASTER_KEY: Buffer.from(masterKey).toString("hex") };
  for (const role of serviceNames) {
    const addresses = servers.filter((server) => server.role === role).map(({ port }) => `${host}:${port}`);
    shared[variableOf(role, "URL")] = `${scheme}://${addresses.join(",")}`;
  }
  const databaseOf = (role: Role): Record<string, string> => {
    const connection = connections.get(role);
    const replica = replicaConnections.get(role);
    return {
      ...(connection && { [variableOf(role, "DATABASE_URL")]: connectionUrl(connection) }),
      ...(replica && { [variableOf(role, "DATABASE_REPLICA_URL")]: connectionUrl(replica) }),
    };
  };
  const certificateOf = (role: Role): Record<string, string> =>
    certs === undefined
      ? {}
      : { KONTOR_TLS_CA: join(certs, "ca.crt"), KONTOR_TLS_CERT: join(certs, `${role}.crt`), KONTOR_TLS_KEY: join(certs, `${role}.key`) };
  const services = servers.map(({ role, at, port }): PlannedProcess => {
    const env = { ...shared, ...databaseOf(role), KONTOR_RPC: `${scheme}://${host}:${port}`, KONTOR_INSTANCE: `${role}-${at + 1}` };
    return { name: `${role}-${at + 1}`, role, env };
  });
  // Only Linux spreads the connections to a port over the processes that share it.
  const gatewayCount = process.platform === "linux" ? replicas : 1;
  const gateways = Array.from({ length: gatewayCount }, (_, at): PlannedProcess => {
    const name = `gateway-${at + 1}`;
    return { name, role: "gateway", env: { ...shared, KONTOR_INSTANCE: name, KONTOR_SHARE_PORT: String(gatewayCount > 1) } };
  });
  const replacedBy = { mailbox: config.smtpUrl, provider: config.settings.payments.providerUrl };
  const developmentServers = developmentRoles
    .filter((role) => replacedBy[role] === undefined)
    .map((role): PlannedProcess => ({ name: role, role, env: { ...shared, ...databaseOf(role), KONTOR_INSTANCE: role } }));
  const all = [...developmentServers, ...services, ...gateways].map((process) => ({
    ...process,
    env: { ...process.env, ...certificateOf(process.role) },
  }));
  if (config.opsPort === undefined) return all;
  // The port of the first process; each next one has the next port.
  const first = config.opsPort;
  return all.map((process, at) => ({ ...process, env: { ...process.env, KONTOR_OPS_PORT: String(first + at) } }));
}
