import type { Cache } from "@kontor/platform/cache/cache.ts";
import type { Clock } from "@kontor/platform/clock/clock.ts";
import type { Component } from "@kontor/platform/lifecycle/lifecycle.ts";
import type { Clients } from "@kontor/platform/rpc/rpc.ts";
import { deriveSecret } from "@kontor/platform/service/derive-secret.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Configuration } from "../configuration.ts";
import type { Addresses } from "../installation.ts";
import { definitions } from "../roles.ts";

interface Needs {
  readonly config: Configuration;
  /** Whether this process is the whole shop. */
  readonly alone: boolean;
  readonly clientsFor: (caller: string) => Clients;
  readonly cache: Cache;
  readonly publicUrl: string;
  readonly masterKey: Uint8Array;
  readonly addresses: Addresses;
  readonly clock: Clock;
  readonly ready: () => Promise<boolean>;
  readonly log: Logger;
}

const served = new Map(definitions.map(({ name, contracts }) => [name, contracts.map((service) => ({ service }))]));

/** The gateway, which serves the contracts of all services, wherever they run. */
export async function gatewayComponent(needs: Needs): Promise<Component> {
  const { config, alone, clientsFor, cache, publicUrl, masterKey, addresses, clock, ready, log } = needs;
  const { createGateway } = await import("@kontor/gateway/gateway.ts");
  const gateway = createGateway({
    rpc: { served: () => served, clientsFor },
    log: log.child({ service: "gateway" }),
    clock,
    cache,
    publicUrl,
    shopName: config.shopName,
    timeoutMs: config.requestTimeoutMs,
    ...(config.rates !== undefined && { rates: config.rates }),
    proxies: config.proxies,
    originSecret: deriveSecret(masterKey, "gateway origins"),
    // Alone, nobody else can end a session without this process knowing.
    ...(alone && { sessionLeaseMs: 60_000 }),
    ready,
    pages: {
      links: [
        { name: "Mailbox", url: addresses.mailbox, about: "every mail that the shop has sent" },
        { name: "Payment provider", url: addresses.provider, about: "the built-in one, with its test cards" },
      ],
    },
  });
  return {
    name: "gateway",
    start: async () => void (await gateway.start(config.port, config.host, { shared: config.sharePort })),
    stop: () => gateway.stop(),
  };
}
