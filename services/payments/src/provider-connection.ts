import { deriveSecret } from "@kontor/platform/service/derive-secret.ts";
import type { InstallationConfig } from "@kontor/platform/service/service.ts";
import type { PaymentsSettings } from "./settings.ts";

/** What payments and its provider must agree on. */
export interface ProviderConnection {
  readonly providerUrl: string;
  readonly apiKey: string;
  /** In the form of Standard Webhooks: "whsec_…". */
  readonly webhookSecret: string;
}

/** The provider of KONTOR_PROVIDER_URL, or the built-in one on this machine, by the name of its host. */
export function providerUrlOf({ providerUrl, providerPort }: PaymentsSettings, host: string): string {
  return providerUrl ?? `http://${host}:${providerPort}`;
}

/** The connection to the provider. Its secrets are derived from the master key. */
export function providerConnection(
  settings: PaymentsSettings,
  { host, masterKey }: Pick<InstallationConfig, "host" | "masterKey">,
): ProviderConnection {
  return {
    providerUrl: providerUrlOf(settings, host),
    apiKey: deriveSecret(masterKey, "provider api key").toString("base64url"),
    webhookSecret: `whsec_${deriveSecret(masterKey, "provider webhooks").toString("base64")}`,
  };
}
