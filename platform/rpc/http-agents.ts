import { lookup as systemLookup } from "node:dns";
import type { LookupAddress } from "node:dns";
import { Agent } from "node:http";
import { Agent as SecureAgent } from "node:https";
import type { LookupFunction } from "node:net";
import type { TlsIdentity } from "./tls-identity.ts";

export interface Agents {
  /** Keeps connections alive, and makes new ones with the current certificate. */
  current(): Agent;
  /** Ends all connections. */
  close(): void;
}

const options = { keepAlive: true, noDelay: true, maxFreeSockets: 256, scheduling: "lifo", lookup: lookUpInTurn() } as const;

/** Connections to one service: over TLS when this process has a certificate; the other side's must name the service. */
export function createAgents(service: string, tls: TlsIdentity | undefined): Agents {
  if (tls === undefined) {
    const agent = new Agent(options);
    return { current: () => agent, close: () => agent.destroy() };
  }
  const { files } = tls;
  const make = () => {
    const { ca, cert, key } = files.current();
    return new SecureAgent({
      ...options,
      ca,
      cert,
      key,
      checkServerIdentity: (host, certificate) =>
        tls.identitiesOf(certificate)?.includes(service) === true
          ? undefined
          : new Error(`the certificate at ${host} is not one of ${service}`),
    });
  };
  let agent = make();
  // Calls under way end on their connections; the other side closes connections that are not used.
  const before = new Set<Agent>();
  const forget = files.changed(() => {
    before.add(agent);
    agent = make();
  });
  return {
    current: () => agent,
    close() {
      forget();
      for (const one of [agent, ...before]) one.destroy();
    },
  };
}

/** Looks a name up for each new connection, and starts at another of its addresses each time. */
function lookUpInTurn(): LookupFunction {
  let turn = 0;
  return (hostname, wanted, found) => {
    systemLookup(hostname, { ...wanted, all: true }, (error, addresses) => {
      if (error !== null) return found(error, []);
      const first = turn++ % addresses.length;
      const inTurn = [...addresses.slice(first), ...addresses.slice(0, first)];
      if (wanted.all === true) return found(null, inTurn);
      const { address, family } = inTurn[0] as LookupAddress; // a name that is found has an address
      return found(null, address, family);
    });
  };
}
