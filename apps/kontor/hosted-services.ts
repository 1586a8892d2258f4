import { contracts } from "@kontor/contracts/registry.ts";
import type { Clock } from "@kontor/platform/clock/clock.ts";
import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import { createWakeups } from "@kontor/platform/events/wakeups.ts";
import { createSmtpMailer } from "@kontor/platform/mail/smtp-mailer.ts";
import type { SmtpMailer } from "@kontor/platform/mail/smtp-mailer.ts";
import { createIds } from "@kontor/platform/ids/ids.ts";
import type { InProcessRpc } from "@kontor/platform/rpc/in-process.ts";
import { hostService } from "@kontor/platform/service/host-service.ts";
import type { HostedService } from "@kontor/platform/service/host-service.ts";
import type { InstallationConfig } from "@kontor/platform/service/service.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { relaysComponent } from "./components/service-components.ts";
import type { Configuration } from "./configuration.ts";
import type { AppEngines } from "./engines.ts";
import { addressesOf } from "./installation.ts";
import type { Placement } from "./placement.ts";
import { definitions } from "./roles.ts";

export interface HostingOptions {
  readonly config: Configuration;
  readonly placement: Placement;
  readonly shop: boolean;
  readonly installation: InstallationConfig;
  readonly databases: ReadonlyMap<string, PostgresDatabase>;
  readonly rpc: InProcessRpc;
  readonly engines: AppEngines;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The services of this process. */
export interface HostedServices {
  readonly hosted: readonly HostedService[];
  readonly relays: ReturnType<typeof relaysComponent>;
  readonly mailer: SmtpMailer;
}

/** Loads and creates the services of this process on its databases and engines. */
export async function hostServices(options: HostingOptions): Promise<HostedServices> {
  const { config, placement, shop, installation, databases, rpc, engines, clock, log } = options;
  // A shop that is alone needs no notifications; what an attached process appends is notified at once.
  const wakeups = createWakeups({ log: log.child({ service: "events" }), notifyMs: shop && placement.alone ? 1_000 : 20 });
  const ids = createIds(clock);
  const mailer = createSmtpMailer({ url: config.smtpUrl ?? addressesOf(config).smtp, log: log.child({ service: "mail" }), clock });
  const hosted = await Promise.all(
    definitions
      .filter(({ name }) => placement.roles.has(name))
      .map((definition) =>
        hostService(definition, {
          engines: engines.forServices,
          database: databases.get(definition.name)!,
          rpc,
          wakeups,
          cache: engines.cache,
          mail: mailer,
          clock,
          ids,
          config: installation,
          settings: config.settings[definition.name],
          registry: contracts,
          log: log.child({ service: definition.name }),
        }),
      ),
  );
  return { hosted, relays: relaysComponent(hosted, engines.kafka, wakeups, log), mailer };
}
