import { parseRateLimits } from "@kontor/gateway/edge/rate-limits.ts";
import type { RateLimits } from "@kontor/gateway/edge/rate-limits.ts";
import { readCertificates } from "@kontor/platform/config/certificates-file.ts";
import { ConfigError, readConfig } from "@kontor/platform/config/read-config.ts";
import type { Config, ConfigProblem, Shape } from "@kontor/platform/config/read-config.ts";
import type { Variable } from "@kontor/platform/config/variables.ts";
import { addressVariables } from "./configuration/addresses.ts";
import { databaseVariables } from "./configuration/databases.ts";
import { engineVariables } from "./configuration/engines.ts";
import { processVariables } from "./configuration/processes.ts";
import { shopVariables } from "./configuration/shop.ts";
import { insteadOfPlain, isOnThisMachine } from "./plain-addresses.ts";
import { serviceNames, serviceSettings } from "./roles.ts";

/** Every variable that Kontor reads, with its default. All are read once, at the start. */
export const configuration = {
  ...shopVariables,
  ...addressVariables,
  ...databaseVariables,
  ...engineVariables,
  ...processVariables,
  settings: serviceSettings,
} as const;

type Variables = Config<typeof configuration>;

export type Configuration = Variables & {
  /** What is in the file of KONTOR_SERVERS_CA. */
  readonly authorities: string | undefined;
  /** What KONTOR_RATE_LIMITS says. */
  readonly rates: RateLimits | undefined;
};

/** Reads the environment, and the file of KONTOR_SERVERS_CA. Throws a `ConfigError` that names every variable that is wrong. */
export function readConfiguration(env: Readonly<Record<string, string | undefined>>): Configuration {
  const config = readConfig(configuration, env, { known: ["KONTOR_TEST_POSTGRES"] });
  const problems = config.requireTls ? plainAddressesIn(config) : [];
  const read = <T>({ variable }: Variable, value: string | undefined, parse: (value: string) => T): T | undefined => {
    try {
      return value === undefined ? undefined : parse(value);
    } catch (error) {
      problems.push({ variable, message: (error as Error).message });
      return undefined;
    }
  };
  const authorities = read(configuration.serversCa, config.serversCa, readCertificates);
  const rates = read(configuration.rateLimits, config.rateLimits, rateLimitsOf);
  if (problems.length > 0) throw new ConfigError(problems);
  return { ...config, authorities, rates };
}

/** Throws with what is no limit, or no service's. */
function rateLimitsOf(text: string): RateLimits {
  const limits = parseRateLimits(text);
  const unknown = Object.keys(limits.byService).find((name) => !serviceNames.some((service) => service === name));
  if (unknown !== undefined)
    throw new Error(`"${unknown}" is not a service; write brute-force, guest-writes or one of ${serviceNames.join(", ")}`);
  return limits;
}

/** The addresses of servers and of other services that are reached in plain text. */
function plainAddressesIn(config: Variables): ConfigProblem[] {
  const { databaseUrl, databases, replicaUrl, replicas, cache, events, tasks, search, documents, services, rpc } = configuration;
  const servers = { databaseUrl, databases, replicaUrl, replicas, cache, events, tasks, search, documents, services, rpc };
  // These may be plain on this machine, as the development servers are.
  const { smtpUrl, settings } = configuration;
  const problems = (shape: Shape, accepted: (address: string) => boolean): ConfigProblem[] =>
    valuesOf(shape, config).flatMap(([variable, value]) => {
      const instead = accepted(value) ? undefined : insteadOfPlain(value);
      return instead === undefined ? [] : [{ variable, message: `is plain text, which KONTOR_REQUIRE_TLS forbids: it needs ${instead}` }];
    });
  return [...problems(servers, () => false), ...problems({ smtpUrl, settings }, isOnThisMachine)];
}

/** The texts that the variables of a shape are set to. */
function valuesOf(shape: Shape, values: object): (readonly [variable: string, value: string])[] {
  return Object.entries(shape).flatMap(([name, entry]) => {
    const value: unknown = Reflect.get(values, name);
    if (typeof value === "string") return [[(entry as Variable).variable, value] as const]; // only a variable's value is a text
    return typeof value === "object" && value !== null ? valuesOf(entry as Shape, value) : [];
  });
}
