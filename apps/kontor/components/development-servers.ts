import type { Clock } from "@kontor/platform/clock/clock.ts";
import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import type { Component } from "@kontor/platform/lifecycle/lifecycle.ts";
import { createMailCatcher } from "@kontor/platform/mail/mail-catcher.ts";
import type { InstallationConfig } from "@kontor/platform/service/service.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Configuration } from "../configuration.ts";
import type { Addresses } from "../app.ts";
import type { Role } from "../roles.ts";

interface Needs {
  readonly config: Configuration;
  readonly roles: ReadonlySet<Role>;
  readonly databases: ReadonlyMap<string, PostgresDatabase>;
  readonly installation: InstallationConfig;
  readonly addresses: Addresses;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What stands in for the world outside. */
export interface DevelopmentServers {
  readonly components: readonly Component[];
  /** Resolves when they have nothing under way. */
  idle(): Promise<void>;
}

/** The mail catcher and the payment provider, where they run here. */
export async function openDevelopmentServers({
  config,
  roles,
  databases,
  installation,
  addresses,
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
  const provider = createProviderServer({
    database: databases.get("provider")!,
    log: log.child({ service: "provider" }),
    host,
    port: config.providerPort,
    apiKey: installation.payments.apiKey,
    webhookSecret: installation.payments.webhookSecret,
    webhookUrl: `${roles.has("gateway") ? addresses.api : installation.publicUrl}/v1/payments/webhooks/builtin`,
    clock,
  });
  components.push({ name: "payment provider", start: async () => void (await provider.start()), stop: () => provider.stop() });
  return { components, idle: () => provider.idle() };
}
