import type { Cache } from "@kontor/platform/cache/cache.ts";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { createUnsharedCache } from "@kontor/platform/cache/unshared.ts";
import type { KafkaEvents } from "@kontor/platform/events/kafka/kafka-events.ts";
import type { Documents } from "@kontor/platform/documents/documents.ts";
import { createPostgresDocuments } from "@kontor/platform/documents/postgres.ts";
import { createPostgresSearch } from "@kontor/platform/search/postgres.ts";
import { createSubscriptions } from "@kontor/platform/events/subscriptions/subscriptions.ts";
import type { Engines } from "@kontor/platform/service/host-service.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Configuration } from "./configuration.ts";

/** What this process's services stand on, beside PostgreSQL. */
export interface AppEngines {
  readonly cache: Cache;
  /** Those that are not embedded. */
  readonly forServices: Partial<Engines>;
  /** Undefined when subscribers read the publishers' logs. */
  readonly kafka: KafkaEvents | undefined;
  /** Connects to servers. One that is away is logged and looked for; throws for one that will not have us. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface EnginesOptions {
  readonly config: Configuration;
  /** Whether this process is the whole house. */
  readonly alone: boolean;
  readonly log: Logger;
}

interface Living {
  start?(): Promise<void>;
  stop(): Promise<void>;
}

/** Makes the engines that the configuration names; a driver is loaded only where one is named. */
export async function openEngines({ config, alone, log }: EnginesOptions): Promise<AppEngines> {
  const living: Living[] = [];
  const having = <Engine extends Living>(engine: Engine): Engine => {
    living.push(engine);
    return engine;
  };
  const namespace = config.namespace;
  const trust = config.authorities === undefined ? {} : { ca: config.authorities };
  const forServices: { -readonly [Seam in keyof Engines]?: Engines[Seam] } = {};

  let cache: Cache;
  if (config.cache === undefined) {
    const memory = createMemoryCache({ maxEntries: 50_000 });
    cache = alone ? memory : createUnsharedCache(memory);
  } else {
    const { createRedisCache } = await import("@kontor/platform/cache/redis.ts");
    cache = having(createRedisCache({ urls: each(config.cache), ...trust, prefix: namespace, log: log.child({ service: "cache" }) }));
  }

  if (config.cartsDocuments !== undefined) {
    const documents = having(
      await openDocuments(config.cartsDocuments, { ...trust, prefix: namespace, log: log.child({ service: "documents" }) }),
    );
    forServices.documents = (service, database) => (service === "carts" ? documents : createPostgresDocuments({ database }));
  }

  if (config.search !== undefined) {
    const [{ createOpenSearch }, { searchWithFallback }] = await Promise.all([
      import("@kontor/platform/search/opensearch.ts"),
      import("@kontor/platform/search/with-fallback.ts"),
    ]);
    const about = log.child({ service: "search" });
    const opensearch = having(createOpenSearch({ url: config.search, ...trust, prefix: `${namespace}-`, log: about }));
    forServices.search = (_, database) => searchWithFallback({ first: opensearch, second: createPostgresSearch({ database }), log: about });
  }

  if (config.tasks !== undefined) {
    const { createRabbitTasks } = await import("@kontor/platform/tasks/rabbitmq.ts");
    const urls = each(config.tasks);
    forServices.tasks = (init) => createRabbitTasks({ ...init, urls, ...trust, prefix: namespace });
  }

  let kafka: KafkaEvents | undefined;
  if (config.events !== undefined) {
    const [{ createKafkaEvents }, { kafkaOptionsFrom }] = await Promise.all([
      import("@kontor/platform/events/kafka/kafka-events.ts"),
      import("@kontor/platform/events/kafka/kafka-options.ts"),
    ]);
    const events = createKafkaEvents({
      prefix: namespace,
      ...kafkaOptionsFrom(config.events, "KONTOR_EVENTS"),
      ...trust,
      log: log.child({ service: "kafka" }),
    });
    kafka = having(events);
    forServices.subscriptions = (needs) => createSubscriptions({ ...needs, transport: events.transport(needs) });
  }

  return {
    cache,
    forServices,
    kafka,
    start: async () => void (await Promise.all(living.map(async (engine) => engine.start?.()))),
    stop: async () => void (await Promise.all(living.map((engine) => engine.stop()))),
  };
}

type DocumentsOptions = { readonly ca?: string; readonly prefix: string; readonly log: Logger };

async function openDocuments(url: string, options: DocumentsOptions): Promise<Documents & Living> {
  if (url.startsWith("mongodb")) {
    const { createMongoDocuments } = await import("@kontor/platform/documents/mongodb.ts");
    return createMongoDocuments({ url, ...options });
  }
  const { createRedisDocuments } = await import("@kontor/platform/documents/redis.ts");
  return createRedisDocuments({ urls: each(url), ...options });
}

/** "redis://:password@a:1,b:2/0" as a URL for each host. */
function each(url: string): string[] {
  const [, scheme = "", user = "", hosts = "", rest = ""] = /^([a-z+]+:\/\/)([^@/?#]*@)?([^/?#]+)(.*)$/s.exec(url) ?? [];
  return hosts.split(",").map((host) => `${scheme}${user}${host}${rest}`);
}
