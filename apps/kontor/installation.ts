import { isIPv6 } from "node:net";
import { providerUrlOf } from "@kontor/payments/src/provider-connection.ts";
import type { InstallationConfig } from "@kontor/platform/service/service.ts";
import type { Configuration } from "./configuration.ts";

/** The URLs at which this machine's shop is reached. */
export interface Addresses {
  readonly api: string;
  readonly mailbox: string;
  readonly provider: string;
  readonly smtp: string;
}

/** The addresses that the configuration gives to this machine's servers. */
export function addressesOf({ host, port, mailboxPort, smtpPort, settings }: Configuration): Addresses {
  const name = hostNameOf(host);
  return {
    api: `http://${name}:${port}`,
    mailbox: `http://${name}:${mailboxPort}`,
    provider: providerUrlOf(settings.payments, name),
    smtp: `smtp://127.0.0.1:${smtpPort}`,
  };
}

/** What services know of the installation. */
export function installationOf(config: Configuration, masterKey: Uint8Array): InstallationConfig {
  return {
    publicUrl: config.publicUrl ?? addressesOf(config).api,
    shopName: config.shopName,
    host: hostNameOf(config.host),
    masterKey,
  };
}

function hostNameOf(host: string): string {
  if (["0.0.0.0", "::", "127.0.0.1"].includes(host)) return "localhost";
  return isIPv6(host) ? `[${host}]` : host;
}
