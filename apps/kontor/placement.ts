import { ConfigError } from "@kontor/platform/config/read-config.ts";
import type { RemoteAddress } from "@kontor/platform/rpc/remotes.ts";
import type { Configuration } from "./configuration.ts";
import { allRoles, serviceNames, variableOf } from "./roles.ts";
import type { Role, ServiceName } from "./roles.ts";

/** Which roles run in this process, and where the other services are. */
export interface Placement {
  readonly roles: ReadonlySet<Role>;
  /** Whether this process is the whole shop, and no service is called over the network. */
  readonly alone: boolean;
  /** The services that are called over the network. */
  readonly remotes: ReadonlyMap<ServiceName, RemoteAddress>;
  /** Where the services of this process listen for other processes. */
  readonly listen: { readonly protocol: RemoteAddress["protocol"]; readonly host: string; readonly port: number } | undefined;
}

/** Throws a `ConfigError` that names the variables which a shop of several processes needs and does not have. */
export function placementOf(config: Configuration, roles: readonly Role[] = allRoles): Placement {
  const here = new Set(roles);
  const whole = allRoles.every((role) => here.has(role));
  const remotes = new Map<ServiceName, RemoteAddress>();
  const problems: { variable: string; message: string }[] = [];
  for (const name of serviceNames) {
    const url = config.services[name];
    if (url !== undefined) remotes.set(name, addressOf(url));
    else if (!here.has(name))
      problems.push({ variable: variableOf(name, "URL"), message: `is missing: ${name} does not run in this process` });
  }
  const serves = serviceNames.some((name) => here.has(name));
  if (!whole && serves && config.rpc === undefined)
    problems.push({
      variable: "KONTOR_RPC",
      message: "is missing: the services of this process need an address for the other processes, such as grpc://127.0.0.1:4010",
    });
  if (!whole && config.masterKey === undefined)
    problems.push({ variable: "KONTOR_MASTER_KEY", message: "is missing: all processes of a shop need the same one (64 hex digits)" });
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    roles: here,
    alone: whole && remotes.size === 0 && config.rpc === undefined,
    remotes,
    listen: config.rpc === undefined ? undefined : listenOf(config.rpc),
  };
}

/** "grpc://a:1,b:2" */
function addressOf(url: string): RemoteAddress {
  const { protocol, hosts } = splitUrl(url);
  return { protocol, addresses: hosts };
}

function listenOf(url: string) {
  const { protocol, hosts } = splitUrl(url);
  const { hostname, port } = new URL(`http://${hosts[0]!}`); // a URL has a host
  return { protocol, host: hostname.replace(/^\[(.*)\]$/, "$1"), port: Number(port || defaultPort) };
}

const defaultPort = 4010;

function splitUrl(url: string) {
  const [, protocol = "", hosts = ""] = /^([a-z]+):\/\/([^/?#]+)/.exec(url) ?? [];
  const withPorts = hosts.split(",").map((host) => (/:\d+$/.test(host) ? host : `${host}:${defaultPort}`));
  return { protocol: protocol as RemoteAddress["protocol"], hosts: withPorts }; // the configuration knows these protocols only
}
