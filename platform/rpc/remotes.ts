import type { Logger } from "../telemetry/logger.ts";
import type { Callers } from "./callers.ts";
import { createRemoteService } from "./remote-service.ts";
import type { TlsIdentity } from "./tls-identity.ts";
import type { Remotes, Transport, TransportOptions } from "./transport.ts";

/** Where a service runs: "grpc://orders:5000", "grpcs://…" over TLS, "http://…" or "https://…"; several addresses are separated by commas. */
export interface RemoteAddress {
  readonly protocol: "grpc" | "grpcs" | "http" | "https";
  /** "host:port" */
  readonly addresses: readonly string[];
}

export interface RemotesOptions {
  /** The services that run elsewhere, by name. */
  readonly services: ReadonlyMap<string, RemoteAddress>;
  readonly callers: Callers;
  /** Needed for "grpcs" and "https". */
  readonly tls?: TlsIdentity;
  readonly log: Logger;
  /** Called with the name of the process that sent each response. For tests and measurements. */
  readonly onResponse?: (service: string, instance: string) => void;
}

/**
 * Clients of the services that run elsewhere. A protocol's driver is loaded only for an address that names it. Throws for a secure address when this
 * process has no certificate.
 */
export async function openRemotes({ services, callers, tls, log, onResponse }: RemotesOptions): Promise<Remotes> {
  const opened = await Promise.all(
    Array.from(services, async ([service, { protocol, addresses }]) => {
      const secure = protocol === "grpcs" || protocol === "https";
      if (secure && tls === undefined) throw new Error(`${protocol}://${addresses.join()} needs a certificate of this process`);
      const transport = await transportOf(protocol, {
        service,
        addresses,
        callers,
        ...(secure && tls !== undefined && { tls }),
        ...(onResponse && { onResponse: (instance: string) => onResponse(service, instance) }),
      });
      return [service, { transport, remote: createRemoteService({ service, transport, log }) }] as const;
    }),
  );
  const byName = new Map(opened);
  return {
    to: (service) => byName.get(service)?.remote,
    figures: () => opened.map(([, { remote }]) => remote.figures()),
    close() {
      for (const [, { transport }] of opened) transport.close();
    },
  };
}

async function transportOf(protocol: RemoteAddress["protocol"], options: TransportOptions): Promise<Transport> {
  switch (protocol) {
    case "grpc":
    case "grpcs":
      return (await import("./grpc-transport.ts")).createGrpcTransport(options);
    case "http":
    case "https":
      return (await import("./http-transport.ts")).createHttpTransport(options);
  }
}
