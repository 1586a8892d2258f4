import type { ServiceDefinition } from "@kontor/platform/service/service.ts";
import * as services from "./services.ts";

type Services = (typeof services)[keyof typeof services];

export type ServiceName = Services["name"];

/** The definitions of all services, sorted by name. */
export const definitions: readonly (ServiceDefinition & { readonly name: ServiceName })[] = Object.values(services);

export const serviceNames: readonly ServiceName[] = definitions.map(({ name }) => name);

/** The variables that only one service reads, by its name. */
export const serviceSettings = Object.fromEntries(definitions.map(({ name, settings = {} }) => [name, settings])) as {
  readonly [One in Services as One["name"]]: NonNullable<One["settings"]>; // an entry for each definition
};

/** Servers of the app's own that take the place of others: the mail catcher for a mail server, the built-in payment provider for a company's. */
export const developmentServers = ["mailbox", "provider"] as const;

/** What a process can run: a service, the gateway or a development server. */
export type Role = ServiceName | "gateway" | (typeof developmentServers)[number];

export const allRoles: readonly Role[] = [...serviceNames, "gateway", ...developmentServers];

export type DatabaseName = ServiceName | (typeof developmentServers)[number];

/** The roles that have a database, which is named like them. */
export const databaseNames: readonly DatabaseName[] = [...serviceNames, ...developmentServers];

/** The variable of a service or database: "orders", "DATABASE_URL" → "KONTOR_ORDERS_DATABASE_URL". */
export function variableOf(name: string, suffix: "URL" | "DATABASE_URL" | "DATABASE_REPLICA_URL" | "DOCUMENTS"): string {
  return `KONTOR_${name.toUpperCase()}_${suffix}`;
}
