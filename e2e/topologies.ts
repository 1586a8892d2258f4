import { randomBytes } from "node:crypto";
import { serviceNames, variableOf } from "@kontor/kontor/roles.ts";
import { engineAddress } from "@kontor/platform/testing/engines.ts";
import { freePorts } from "./free-ports.ts";

/** A way in which the same shop is put together. */
export interface Topology {
  readonly name: string;
  /** The command of kontor that starts it, with its arguments. */
  readonly command: readonly string[];
  /** What it needs beyond what every shop needs, for one shop. */
  environment(): Promise<Readonly<Record<string, string>>>;
  /** Whether PostgreSQL is a child of the shop's own. */
  readonly embedded: boolean;
}

/** In how long all scenarios of a kind must be done: of many processes the start alone takes a while. */
export const suiteTimeoutMs = 240_000;
export const startTimeout = { timeout: 180_000 } as const;

const nothing = async () => ({});

export const oneProcess: Topology = { name: "one process", command: ["start"], environment: nothing, embedded: true };

/** Everything in one process, and every call between services over a wire. */
const overWire = (name: string, scheme: "grpc" | "http"): Topology => ({
  name,
  command: ["start"],
  embedded: true,
  environment: async () => {
    const [port] = await freePorts(1);
    const address = `${scheme}://127.0.0.1:${port}`;
    return { KONTOR_RPC: address, ...Object.fromEntries(serviceNames.map((service) => [variableOf(service, "URL"), address])) };
  },
});

export const overGrpc = overWire("one process over gRPC", "grpc");

/** The wire is the Connect protocol, for networks that let only HTTP/1.1 through. */
export const overHttp = overWire("one process over HTTP", "http");

export const cluster: Topology = { name: "a process per service", command: ["cluster"], environment: nothing, embedded: true };

/** So many of each service, on the embedded PostgreSQL. */
export const replicas = (count: number): Topology => ({
  name: `${count} of each service`,
  command: ["cluster", "--replicas", String(count)],
  environment: nothing,
  embedded: true,
});

/** The addresses of the real servers, for one shop with names of its own on them. */
async function servers(): Promise<Record<string, string>> {
  return {
    KONTOR_NAMESPACE: `e2e_${randomBytes(4).toString("hex")}`,
    KONTOR_MASTER_KEY: randomBytes(32).toString("hex"),
    KONTOR_DATABASE_URL: engineAddress("ENGINE_POSTGRES"),
    KONTOR_DATABASE_REPLICA_URL: engineAddress("ENGINE_POSTGRES_REPLICA"),
    KONTOR_CACHE: engineAddress("ENGINE_REDIS"),
    KONTOR_EVENTS: `kafka://${engineAddress("ENGINE_KAFKA")}`,
    KONTOR_TASKS: engineAddress("ENGINE_RABBITMQ"),
    KONTOR_SEARCH: engineAddress("ENGINE_OPENSEARCH"),
    KONTOR_CARTS_DOCUMENTS: engineAddress("ENGINE_MONGODB"),
  };
}

/** One process on the real servers. */
export const onServers: Topology = { name: "one process on real servers", command: ["start"], environment: servers, embedded: false };

/** So many of each service, on the real servers. */
export const clusterOnServers = (count = 1): Topology => ({
  name: `${count} of each service on real servers`,
  command: ["cluster", "--replicas", String(count)],
  environment: servers,
  embedded: false,
});
