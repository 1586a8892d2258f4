import { providerConnection } from "@kontor/payments/src/provider-connection.ts";
import type { Clock } from "@kontor/platform/clock/clock.ts";
import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import type { Component } from "@kontor/platform/lifecycle/lifecycle.ts";
import { createMailCatcher } from "@kontor/platform/mail/mail-catcher.ts";
import type { InstallationConfig } from "@kontor/platform/service/service.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Configuration } from "../configuration.ts";
import { addressesOf } from "../installation.ts";
import type { Placement } from "../placement.ts";

interface Needs {
  readonly config: Configuration;
  readonly placement: Placement;
  readonly databases: ReadonlyMap<string, PostgresDatabase>;
  readonly installation: InstallationConfig;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The servers that take the place of a mail server and a payment company. */
export interface DevelopmentServers {
  readonly components: readonly Component[];
  /** Resolves when they have nothing under way. */
  idle(): Promise<void>;
}

/** The mail catcher and the payment provider, where they run here. */
export async function openDevelopmentServers({
  config,
  placement: { roles },
  databases,
  installation,
  clock,
  log,
}: Needs): Promise<DevelopmentServers> {
  const { host } = config;
  const components: Component[] = [];
  if (roles.has("mailbox")) {
    const catcher = createMailCatcher({
      database: databases.get("mailbox")!,
      log: log.child({ service: "mailbox" }),
      host,
      smtpPort: config.smtpPort,
      httpPort: config.mailboxPort,
      clock,
    });
    components.push({ name: "mail catcher", start: async () => void (await catcher.start()), stop: () => catcher.stop() });
  }
  if (!roles.has("provider")) return { components, idle: async () => undefined };
  const { createProviderServer } = await import("@kontor/payments/provider/src/provider-server.ts");
  const { apiKey, webhookSecret } = providerConnection(config.settings.payments, installation);
  const provider = createProviderServer({
    database: databases.get("provider")!,
    log: log.child({ service: "provider" }),
    host,
    port: config.settings.payments.providerPort,
    apiKey,
    webhookSecret,
    merchant: config.shopName,
    webhookUrl: `${roles.has("gateway") ? addressesOf(config).api : installation.publicUrl}/v1/payments/webhooks/builtin`,
    clock,
  });
  components.push({ name: "payment provider", start: async () => void (await provider.start()), stop: () => provider.stop() });
  return { components, idle: () => provider.idle() };
}
