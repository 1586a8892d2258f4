import { boolean, duration, integer, oneOf, port, secret, text, url } from "@kontor/platform/config/variables.ts";
import { readCertificates } from "@kontor/platform/config/certificates-file.ts";
import { ConfigError, readConfig } from "@kontor/platform/config/read-config.ts";
import type { Config, ConfigProblem } from "@kontor/platform/config/read-config.ts";
import type { Variable } from "@kontor/platform/config/variables.ts";
import { insteadOfPlain, leadsHere } from "./plain-addresses.ts";
import { databaseNames, serviceNames } from "./roles.ts";

const rpcSchemes = ["grpc", "grpcs", "http", "https"] as const;

/** A variable for each name: "orders" → KONTOR_ORDERS_URL. */
function each<Name extends string, Value>(names: readonly Name[], make: (variable: string, name: Name) => Variable<Value>) {
  const made = names.map((name) => [name, make(`KONTOR_${name.toUpperCase()}`, name)] as const);
  return Object.fromEntries(made) as { readonly [N in Name]: Variable<Value> }; // one entry for each name
}

/** Every variable that Kontor reads, with its default. All is read once, at the start. */
export const configuration = {
  data: text("KONTOR_DATA", { about: "the folder that keeps the embedded shop", default: ".kontor" }),
  host: text("KONTOR_HOST", { about: "the address to listen on", default: "127.0.0.1" }),
  port: port("KONTOR_PORT", { about: "where the api listens", default: 4000 }),
  mailboxPort: port("KONTOR_MAILBOX_PORT", { about: "where the mailbox page listens", default: 4001 }),
  smtpPort: port("KONTOR_SMTP_PORT", { about: "where the mail catcher takes mail", default: 4002 }),
  providerPort: port("KONTOR_PROVIDER_PORT", { about: "where the built-in payment provider listens", default: 4003 }),
  publicUrl: url("KONTOR_PUBLIC_URL", { about: "the shop's address as its customers see it", schemes: ["http", "https"], optional: true }),
  smtpUrl: url("KONTOR_SMTP_URL", {
    about: "the mail server; without one mails go to the mailbox page",
    schemes: ["smtp", "smtps"],
    optional: true,
  }),
  mailFrom: text("KONTOR_MAIL_FROM", { about: "the sender of mails", default: "shop@kontor.example" }),
  shopName: text("KONTOR_SHOP_NAME", { about: "the shop's name in mails and on pages", default: "Kontor" }),
  seed: oneOf("KONTOR_SEED", ["demo", "none"], { about: "what an empty shop is filled with", default: "demo" }),
  masterKey: secret("KONTOR_MASTER_KEY", {
    about: "64 hex digits that other secrets are derived from; made and kept in the data folder without it",
    optional: true,
  }),
  connections: integer("KONTOR_CONNECTIONS", {
    about: "how many database connections the process opens at most",
    default: 40,
    min: 3,
    max: 1000,
  }),
  services: each(serviceNames, (variable, name) =>
    url(`${variable}_URL`, {
      about: `where ${name} is, when it is called over a wire`,
      schemes: rpcSchemes,
      hosts: "many",
      optional: true,
    }),
  ),
  rpc: url("KONTOR_RPC", { about: "where the services of this process listen for others", schemes: rpcSchemes, optional: true }),
  reflection: boolean("KONTOR_RPC_REFLECTION", { about: "whether the gRPC server tells of its contracts to who asks", default: false }),
  instance: text("KONTOR_INSTANCE", {
    about: "this process's name among its like, in logs and answers",
    optional: true,
    pattern: /^[a-z0-9-]{1,60}$/,
  }),
  sharePort: boolean("KONTOR_SHARE_PORT", { about: "whether several gateways listen on the one port", default: false }),
  postgresSettings: text("KONTOR_POSTGRES_SETTINGS", {
    about: "settings of the embedded PostgreSQL over ours: shared_buffers=256MB;work_mem=16MB",
    expected: "name=value pairs separated by semicolons",
    pattern: /^[a-z_.]+=[^;]*(;[a-z_.]+=[^;]*)*$/,
    optional: true,
  }),
  databaseUrl: url("KONTOR_DATABASE_URL", {
    about: "a PostgreSQL server on which the services' databases are made; an embedded one without it",
    schemes: ["postgres", "postgresql"],
    hosts: "many",
    optional: true,
  }),
  databases: each(databaseNames, (variable, name) =>
    url(`${variable}_DATABASE_URL`, {
      about: `the database of ${name}, when it has a server of its own`,
      schemes: ["postgres", "postgresql"],
      hosts: "many",
      optional: true,
    }),
  ),
  replicaUrl: url("KONTOR_DATABASE_REPLICA_URL", {
    about: "a read replica of that server",
    schemes: ["postgres", "postgresql"],
    hosts: "many",
    optional: true,
  }),
  replicas: each(databaseNames, (variable, name) =>
    url(`${variable}_DATABASE_REPLICA_URL`, {
      about: `a read replica of the database of ${name}`,
      schemes: ["postgres", "postgresql"],
      hosts: "many",
      optional: true,
    }),
  ),
  namespace: text("KONTOR_NAMESPACE", {
    about: "what the names of databases, topics, queues, keys and indexes on shared servers begin with",
    expected: "a lower-case letter and then at most 29 letters, digits or _",
    pattern: /^[a-z][a-z0-9_]{0,29}$/,
    default: "kontor",
  }),
  cache: url("KONTOR_CACHE", {
    about: "Redis, one server or the nodes of a cluster; this process's memory without it",
    schemes: ["redis", "rediss"],
    hosts: "many",
    optional: true,
  }),
  events: url("KONTOR_EVENTS", {
    about: "Kafka's brokers; subscribers read the publishers' logs without them",
    schemes: ["kafka"],
    hosts: "many",
    optional: true,
  }),
  tasks: url("KONTOR_TASKS", {
    about: "RabbitMQ's nodes; tasks are taken from PostgreSQL without them",
    schemes: ["amqp", "amqps"],
    hosts: "many",
    optional: true,
  }),
  search: url("KONTOR_SEARCH", {
    about: "OpenSearch; products are searched in PostgreSQL without it, and while it is away",
    schemes: ["http", "https"],
    optional: true,
  }),
  cartsDocuments: url("KONTOR_CARTS_DOCUMENTS", {
    about: "where carts are kept: Redis or MongoDB; in PostgreSQL without it",
    schemes: ["redis", "rediss", "mongodb", "mongodb+srv"],
    hosts: "many",
    optional: true,
  }),
  serversCa: text("KONTOR_SERVERS_CA", {
    about: "a PEM file with the authorities that sign the certificates of the servers above; those that Node.js trusts without it",
    optional: true,
  }),
  requireTls: boolean("KONTOR_REQUIRE_TLS", {
    about: "whether to refuse addresses of servers and services that are not reached by TLS",
    default: false,
  }),
  tls: {
    ca: text("KONTOR_TLS_CA", { about: "the file with the certificate that others' certificates must be signed by", optional: true }),
    cert: text("KONTOR_TLS_CERT", { about: "the file with this process's certificate", optional: true }),
    key: text("KONTOR_TLS_KEY", { about: "the file with its key", optional: true }),
  },
  providerUrl: url("KONTOR_PROVIDER_URL", {
    about: "where the payment provider is, when it does not run on this machine",
    schemes: ["http", "https"],
    optional: true,
  }),
  opsPort: port("KONTOR_OPS_PORT", { about: "where /metrics, /healthz and /readyz of this process listen", optional: true }),
  rateLimits: text("KONTOR_RATE_LIMITS", {
    about: "how often a client may ask, by service: 600/m,catalog=3000/m,identity=off,brute-force=100/15m",
    optional: true,
  }),
  proxies: integer("KONTOR_PROXIES", {
    about: "how many proxies stand before the gateway, whose X-Forwarded-For is believed",
    default: 0,
    max: 10,
  }),
  requestTimeoutMs: duration("KONTOR_REQUEST_TIMEOUT", { about: "how long a request may take", default: 10_000 }),
  logLevel: oneOf("KONTOR_LOG_LEVEL", ["debug", "info", "warn", "error"], { about: "which lines are logged", default: "info" }),
  logFormat: oneOf("KONTOR_LOG_FORMAT", ["json", "pretty"], {
    about: "how lines look; pretty on a terminal, otherwise json",
    optional: true,
  }),
} as const;

type Variables = Config<typeof configuration>;

export type Configuration = Variables & {
  /** What is in the file of KONTOR_SERVERS_CA. */
  readonly authorities: string | undefined;
};

/** Reads the environment, and the file of KONTOR_SERVERS_CA. Throws a `ConfigError` that names every variable that is wrong. */
export function readConfiguration(env: Readonly<Record<string, string | undefined>>): Configuration {
  const config = readConfig(configuration, env, { known: ["KONTOR_TEST_POSTGRES"] });
  const problems = config.requireTls ? plainAddressesIn(config) : [];
  let authorities: string | undefined;
  try {
    if (config.serversCa !== undefined) authorities = readCertificates(config.serversCa);
  } catch (error) {
    problems.push({ variable: configuration.serversCa.variable, message: (error as Error).message });
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return { ...config, authorities };
}

/** The addresses of servers and of other services that are reached in plain text. */
function plainAddressesIn(config: Variables): ConfigProblem[] {
  const servers = ["databaseUrl", "replicaUrl", "cache", "events", "tasks", "search", "cartsDocuments", "rpc"] as const;
  const ofServices = ["databases", "replicas", "services"] as const;
  // These may run beside the shop, as the built-in ones do.
  const neighbours = (["smtpUrl", "providerUrl"] as const).filter((name) => !leadsHere(config[name]));
  const addresses = [
    ...[...servers, ...neighbours].map((name) => ({ ...configuration[name], url: config[name] })),
    ...ofServices.flatMap((group) => {
      const urls = Object.values(config[group]); // in the order of the variables
      return Object.values(configuration[group]).map((variable, at) => ({ ...variable, url: urls[at] }));
    }),
  ];
  return addresses.flatMap(({ variable, url }) => {
    const instead = url === undefined ? undefined : insteadOfPlain(url);
    return instead === undefined ? [] : [{ variable, message: `is plain text, which KONTOR_REQUIRE_TLS forbids: it needs ${instead}` }];
  });
}
