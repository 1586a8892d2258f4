import type { Cache } from "@kontor/platform/cache/cache.ts";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { createUnsharedCache } from "@kontor/platform/cache/unshared.ts";
import type { Documents } from "@kontor/platform/documents/documents.ts";
import { createPostgresDocuments } from "@kontor/platform/documents/postgres.ts";
import type { KafkaEvents } from "@kontor/platform/events/kafka/kafka-events.ts";
import { createSubscriptions } from "@kontor/platform/events/subscriptions/subscriptions.ts";
import { createPostgresSearch } from "@kontor/platform/search/postgres.ts";
import type { Engines } from "@kontor/platform/service/host-service.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Configuration } from "./configuration.ts";

/** The engines that this process's services run on, beside PostgreSQL. */
export interface AppEngines {
  readonly cache: Cache;
  /** Those that are not embedded. */
  readonly forServices: Partial<Engines>;
  /** Undefined when subscribers read the publishers' logs. */
  readonly kafka: KafkaEvents | undefined;
  /** Connects to servers. One that is unavailable is logged and tried again; throws for one that rejects us. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface EnginesOptions {
  readonly config: Configuration;
  /** Whether this process is the whole shop. */
  readonly alone: boolean;
  readonly log: Logger;
}

/** An engine that is connected to a server. */
interface Connected {
  start?(): Promise<void>;
  stop(): Promise<void>;
}

interface Needs extends EnginesOptions {
  /** Has the engine started and stopped with the others, and returns it. */
  readonly connected: <Engine extends Connected>(engine: Engine) => Engine;
  /** Which certificates are trusted beyond those that Node.js trusts. */
  readonly trust: { readonly ca?: string };
}

/** Creates the engines that the configuration names; a driver is loaded only where one is named. */
export async function openEngines(options: EnginesOptions): Promise<AppEngines> {
  const { config } = options;
  const all: Connected[] = [];
  const connected = <Engine extends Connected>(engine: Engine): Engine => {
    all.push(engine);
    return engine;
  };
  const needs: Needs = { ...options, connected, trust: config.authorities === undefined ? {} : { ca: config.authorities } };
  const cache = await openCache(needs);
  const kafka = await openKafka(needs);
  const forServices = {
    ...(await documentsEngine(needs)),
    ...(await searchEngine(needs)),
    ...(await tasksEngine(needs)),
    ...(kafka && subscriptionsEngine(kafka)),
  };
  return {
    cache,
    forServices,
    kafka,
    start: async () => void (await Promise.all(all.map(async (engine) => engine.start?.()))),
    stop: async () => void (await Promise.all(all.map((engine) => engine.stop()))),
  };
}

async function openCache({ config, alone, connected, trust, log }: Needs): Promise<Cache> {
  if (config.cache === undefined) {
    const memory = createMemoryCache({ maxEntries: 50_000 });
    return alone ? memory : createUnsharedCache(memory);
  }
  const { createRedisCache } = await import("@kontor/platform/cache/redis.ts");
  return connected(
    createRedisCache({ urls: urlPerHost(config.cache), ...trust, prefix: config.namespace, log: log.child({ service: "cache" }) }),
  );
}

/** Each service with an address of its own for its documents has them there, the others in their databases. */
async function documentsEngine({ config, connected, trust, log }: Needs): Promise<Pick<Partial<Engines>, "documents">> {
  const options = { ...trust, prefix: config.namespace, log: log.child({ service: "documents" }) };
  const stores = new Map<string, Documents>();
  for (const [service, url] of Object.entries(config.documents))
    if (url !== undefined) stores.set(service, connected(await openDocuments(url, options)));
  if (stores.size === 0) return {};
  return { documents: (service, database) => stores.get(service) ?? createPostgresDocuments({ database }) };
}

async function searchEngine({ config, connected, trust, log }: Needs): Promise<Pick<Partial<Engines>, "search">> {
  if (config.search === undefined) return {};
  const [{ createOpenSearch }, { searchWithFallback }] = await Promise.all([
    import("@kontor/platform/search/opensearch.ts"),
    import("@kontor/platform/search/with-fallback.ts"),
  ]);
  const about = log.child({ service: "search" });
  const first = connected(createOpenSearch({ url: config.search, ...trust, prefix: `${config.namespace}-`, log: about }));
  return { search: (_, database) => searchWithFallback({ first, second: createPostgresSearch({ database }), log: about }) };
}

async function tasksEngine({ config, trust }: Needs): Promise<Pick<Partial<Engines>, "tasks">> {
  if (config.tasks === undefined) return {};
  const { createRabbitTasks } = await import("@kontor/platform/tasks/rabbitmq.ts");
  const urls = urlPerHost(config.tasks);
  return { tasks: (init) => createRabbitTasks({ ...init, urls, ...trust, prefix: config.namespace }) };
}

async function openKafka({ config, connected, trust, log }: Needs): Promise<KafkaEvents | undefined> {
  if (config.events === undefined) return undefined;
  const [{ createKafkaEvents }, { kafkaOptionsFrom }] = await Promise.all([
    import("@kontor/platform/events/kafka/kafka-events.ts"),
    import("@kontor/platform/events/kafka/kafka-options.ts"),
  ]);
  const options = kafkaOptionsFrom(config.events, "KONTOR_EVENTS");
  return connected(createKafkaEvents({ prefix: config.namespace, ...options, ...trust, log: log.child({ service: "kafka" }) }));
}

function subscriptionsEngine(kafka: KafkaEvents): Pick<Engines, "subscriptions"> {
  return { subscriptions: (needs) => createSubscriptions({ ...needs, transport: kafka.transport(needs) }) };
}

type DocumentsOptions = { readonly ca?: string; readonly prefix: string; readonly log: Logger };

async function openDocuments(url: string, options: DocumentsOptions): Promise<Documents & Connected> {
  if (url.startsWith("mongodb")) {
    const { createMongoDocuments } = await import("@kontor/platform/documents/mongodb.ts");
    return createMongoDocuments({ url, ...options });
  }
  const { createRedisDocuments } = await import("@kontor/platform/documents/redis.ts");
  return createRedisDocuments({ urls: urlPerHost(url), ...options });
}

/** "redis://:password@a:1,b:2/0" as a URL for each host. */
function urlPerHost(url: string): string[] {
  const [, scheme = "", user = "", hosts = "", rest = ""] = /^([a-z+]+:\/\/)([^@/?#]*@)?([^/?#]+)(.*)$/s.exec(url) ?? [];
  return hosts.split(",").map((host) => `${scheme}${user}${host}${rest}`);
}
