import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { RegistrationMailRequestedSchema } from "@kontor/contracts/gen/kontor/identity/v1/events_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import type { Cache } from "@kontor/platform/cache/cache.ts";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { Refusal } from "@kontor/platform/errors/refusal.ts";
import { isEvent } from "@kontor/platform/events/events.ts";
import { createWakeups } from "@kontor/platform/events/wakeups.ts";
import { createIds } from "@kontor/platform/ids/ids.ts";
import { createInProcessRpc } from "@kontor/platform/rpc/in-process.ts";
import type { User } from "@kontor/platform/call/call.ts";
import { hostService } from "@kontor/platform/service/host-service.ts";
import type { HostedService } from "@kontor/platform/service/host-service.ts";
import type { InstallationConfig } from "@kontor/platform/service/service.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { openTestServices, testCall } from "@kontor/platform/testing/test-services.ts";
import type { TestServices } from "@kontor/platform/testing/test-services.ts";
import { createSecrets } from "./secrets.ts";
import { identity } from "./service.ts";

/** The identity service with helpers of its tests, and the cache that it shares with the gateways. */
export async function openIdentity({ cache = createMemoryCache({ maxEntries: 1_000 }) }: { readonly cache?: Cache } = {}) {
  const app = await openTestServices({ services: [identity], registry: contracts, cache });
  const hosted = app.services.get("identity")!;
  const client = app.clients.of("identity", IdentityService);
  const secrets = createSecrets(app.config.masterKey);
  const verificationsOf = async (account: string): Promise<string[]> =>
    (await hosted.log.history(hosted.database, account)).flatMap((event) =>
      isEvent(event, RegistrationMailRequestedSchema) ? [event.data.verification] : [],
    );
  /** The codes of a registration's mails, oldest first. */
  const codesOf = async (account: string): Promise<string[]> =>
    (await verificationsOf(account)).map((verification) => secrets.verificationCode(verification));
  return {
    ...app,
    cache,
    hosted,
    client,
    edge: app.rpc.clientsFor("gateway").of("identity", IdentityService),
    register: (email: string, password = "a good password", name = "Ann Lee") => client.register({ email, password, name }, edgeCall()),
    login: (email: string, password = "a good password") => client.login({ email, password }, edgeCall()),
    refresh: (refreshToken: string) => client.refreshToken({ refreshToken }, edgeCall()),
    codesOf,
    /** What the newest mail of a registration says. */
    mailOf: async (account: string) => client.getVerificationMail({ verification: (await verificationsOf(account)).at(-1)! }, testCall()),
    /** The tokens of the links that were asked for, oldest first. */
    resetsOf: async (): Promise<string[]> => {
      const rows = await hosted.database.rows<{ id: string }>(sql`select id from password_resets where id like 'rst%' order by id`);
      return rows.map(({ id }) => secrets.resetToken(id));
    },
    /** Registers and verifies: an account. */
    join: async (email: string, password = "a good password", name = "Ann Lee") => {
      const { id } = await client.register({ email, password, name }, edgeCall());
      return client.verifyEmail({ email, code: (await codesOf(id)).at(-1)! }, edgeCall());
    },
    /** Everything that the database holds, as text. */
    dump: () => dumpOf(hosted),
  };
}

/** A second process on the same database. */
export async function secondIdentity(
  { hosted, clock, config }: Pick<TestServices, "clock" | "config"> & { readonly hosted: HostedService },
  { cache = createMemoryCache({ maxEntries: 100 }), ...changed }: Partial<InstallationConfig> & { readonly cache?: Cache } = {},
) {
  const rpc = createInProcessRpc({ log: quiet, freeze: true });
  const second = await hostService(identity, {
    database: hosted.database,
    rpc,
    wakeups: createWakeups({ log: quiet }),
    cache,
    mail: { send: async () => undefined },
    clock,
    ids: createIds(clock),
    config: { ...config, ...changed },
    registry: contracts,
    log: quiet,
  });
  return { start: () => second.service.start!(), client: rpc.clientsFor("test").of("identity", IdentityService) };
}

/** A call as the edge makes it, for a user when one is passed. */
export function edgeCall(user?: Partial<User>) {
  return testCall({ caller: "gateway", ...(user && { user }) });
}

/** The refusal that a call ends in; throws when it ends in none. */
export async function refusalOf(call: Promise<unknown>): Promise<Refusal> {
  try {
    await call;
  } catch (error) {
    const refusal = refusalIn(error);
    if (refusal !== undefined) return refusal;
    throw error;
  }
  throw new Error("it was not refused");
}

/** The refusals among the outcomes of `Promise.allSettled`; throws when one failed otherwise. */
export function refusalsAmong(outcomes: readonly PromiseSettledResult<unknown>[]): Refusal[] {
  return outcomes.flatMap((outcome) => {
    if (outcome.status === "fulfilled") return [];
    const refusal = refusalIn(outcome.reason);
    if (refusal === undefined) throw outcome.reason;
    return [refusal];
  });
}

async function dumpOf({ database }: HostedService): Promise<string> {
  const tables = await database.rows<{ name: string }>(
    sql`select table_name as name from information_schema.tables where table_schema = 'public'`,
  );
  const texts: string[] = [];
  for (const { name } of tables)
    for (const row of await database.rows(sql`select * from ${sql.name(name)}`))
      for (const value of Object.values(row))
        texts.push(Buffer.isBuffer(value) ? value.toString("latin1") : typeof value === "bigint" ? String(value) : JSON.stringify(value));
  return texts.join("\n");
}

const quiet: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: (fields, message) => console.error(message, fields),
  child: () => quiet,
};
