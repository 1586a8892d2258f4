import type { Clock } from "@kontor/platform/clock/clock.ts";
import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import type { Part } from "@kontor/platform/lifecycle/lifecycle.ts";
import { createMailCatcher } from "@kontor/platform/mail/mail-catcher.ts";
import type { HouseConfig } from "@kontor/platform/service/service.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Configuration } from "../configuration.ts";
import type { Addresses } from "../house.ts";
import type { Role } from "../roles.ts";

interface Needs {
  readonly config: Configuration;
  readonly roles: ReadonlySet<Role>;
  readonly databases: ReadonlyMap<string, PostgresDatabase>;
  readonly houseConfig: HouseConfig;
  readonly addresses: Addresses;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What stands in for the world outside. */
export interface Outsiders {
  readonly parts: readonly Part[];
  /** Resolves when they have nothing under way. */
  idle(): Promise<void>;
}

/** The mail catcher and the payment provider, where they run here. */
export async function openOutsiders({ config, roles, databases, houseConfig, addresses, clock, log }: Needs): Promise<Outsiders> {
  const { host } = config;
  const parts: Part[] = [];
  if (roles.has("mailbox")) {
    const catcher = createMailCatcher({
      database: databases.get("mailbox")!,
      log: log.child({ service: "mailbox" }),
      host,
      smtpPort: config.smtpPort,
      httpPort: config.mailboxPort,
      clock,
    });
    parts.push({ name: "mail catcher", start: async () => void (await catcher.start()), stop: () => catcher.stop() });
  }
  if (!roles.has("provider")) return { parts, idle: async () => undefined };
  const { createProviderServer } = await import("@kontor/payments/provider/src/provider-server.ts");
  const provider = createProviderServer({
    database: databases.get("provider")!,
    log: log.child({ service: "provider" }),
    host,
    port: config.providerPort,
    apiKey: houseConfig.payments.apiKey,
    webhookSecret: houseConfig.payments.webhookSecret,
    webhookUrl: `${roles.has("gateway") ? addresses.api : houseConfig.publicUrl}/v1/payments/webhooks/builtin`,
    clock,
  });
  parts.push({ name: "payment provider", start: async () => void (await provider.start()), stop: () => provider.stop() });
  return { parts, idle: () => provider.idle() };
}
