import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { ManualClock } from "@kontor/platform/clock/clock.ts";
import type { Database } from "@kontor/platform/database/database.ts";
import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { openTestDatabase } from "@kontor/platform/testing/postgres.ts";
import { createProviderServer, providerMigrations } from "./provider-server.ts";
import type { ProviderServer, ProviderServerOptions } from "./provider-server.ts";

export const apiKey = "sk_test_of_a_shop";
export const webhookSecret = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

/** What the shop was webhooks. */
export interface ReceivedWebhook {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly event: { readonly type: string; readonly timestamp: string; readonly data: SessionJson };
}

export interface SessionJson {
  readonly key: string;
  readonly reference: string;
  readonly status: string;
  readonly url: string;
  readonly amount: { readonly currency: string; readonly amount: string };
  readonly declineCode: string;
}

export interface TestProvider extends AsyncDisposable {
  readonly clock: ManualClock;
  readonly database: PostgresDatabase;
  /** The one that runs now. */
  readonly server: ProviderServer;
  readonly url: string;
  /** Where the shop is webhooks. */
  readonly shopUrl: string;
  readonly webhooks: readonly ReceivedWebhook[];
  /** What was logged at warn and error. */
  readonly warnings: readonly string[];
  /** With which statuses the shop responds next; 204 when none are left. */
  readonly shopStatuses: number[];
  call(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }>;
  open(key: string, more?: Readonly<Record<string, unknown>>): Promise<SessionJson>;
  read(key: string): Promise<SessionJson>;
  /** Posts a card to a session's page, as a browser would. */
  pay(
    url: string,
    number: string,
    more?: Readonly<Record<string, string>>,
  ): Promise<{ status: number; location: string | null; html: string }>;
  count(table: "sessions" | "charges" | "refunds" | "webhooks"): Promise<number>;
  /** Stops the server and starts another on the same database. */
  restart(options?: Partial<ProviderServerOptions>): Promise<void>;
}

/** A provider with a database, a clock that is moved by hand, and a shop that writes down what it is webhooks. */
export async function openTestProvider(options: Partial<ProviderServerOptions> = {}): Promise<TestProvider> {
  const database = await openTestDatabase({ name: "provider", migrations: [providerMigrations] });
  const clock = new ManualClock(new Date("2026-03-01T12:00:00Z"));
  const webhooks: ReceivedWebhook[] = [];
  const warnings: string[] = [];
  const shopStatuses: number[] = [];
  const shop = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request
      .on("data", (chunk: Buffer) => chunks.push(chunk))
      .on("end", () => {
        const body = Buffer.concat(chunks);
        webhooks.push({
          headers: request.headers as Record<string, string>,
          body,
          event: JSON.parse(body.toString()) as ReceivedWebhook["event"],
        });
        response.writeHead(shopStatuses.shift() ?? 204).end();
      });
  });
  const shopUrl = `${await listen(shop)}/v1/payments/webhooks/builtin`;
  const warn = (_: object, message: string): void => void warnings.push(message);
  const log: Logger = { debug: () => undefined, info: () => undefined, warn: warn, error: warn, child: () => log };
  let last = {
    database,
    log,
    clock,
    port: 0,
    host: "127.0.0.1",
    apiKey,
    webhookSecret,
    webhookUrl: shopUrl,
    random: () => 0.5,
    ...options,
  };
  let server = createProviderServer(last);
  let { url } = await server.start();

  const call: TestProvider["call"] = async (method, path, body) => {
    const response = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${apiKey}` },
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json() };
  };
  return {
    clock,
    database,
    shopUrl,
    webhooks,
    warnings,
    shopStatuses,
    get server() {
      return server;
    },
    get url() {
      return url;
    },
    call,
    open: async (key, more) => {
      const session = {
        key,
        amount: { currency: "EUR", amount: "19.99" },
        reference: `pay_of_${key}`,
        returnUrl: "https://shop.example/pay/x/done",
        ...more,
      };
      return (await call("POST", "/v1/sessions", session)).body as SessionJson;
    },
    read: async (key) => (await call("GET", `/v1/sessions/${key}`)).body as SessionJson,
    pay: async (page, number, more) => {
      const response = await fetch(page, { method: "POST", redirect: "manual", body: new URLSearchParams({ number, ...more }) });
      return { status: response.status, location: response.headers.get("location"), html: await response.text() };
    },
    count: async (table) => {
      const { rows } = await database.one<{ rows: number }>(sql`select count(*)::int as rows from ${sql.name(table)}`);
      return rows;
    },
    restart: async (changes) => {
      await server.stop();
      last = { ...last, ...changes };
      server = createProviderServer(last);
      ({ url } = await server.start());
    },
    [Symbol.asyncDispose]: async () => {
      await server.stop();
      await new Promise((resolve) => {
        shop.close(resolve);
        shop.closeAllConnections();
      });
    },
  };
}

/** A database as a plain object, for a test to put something around one of its functions. */
export function delegating(database: Database): Database {
  return {
    name: database.name,
    rows: (query) => database.rows(query),
    maybe: (query) => database.maybe(query),
    one: (query) => database.one(query),
    run: (query) => database.run(query),
    transaction: (work, options) => database.transaction(work, options),
    listen: (channel, notified) => database.listen(channel, notified),
    notify: (channel, payload) => database.notify(channel, payload),
    reads: (...keys) => database.reads(...keys),
    changed: (...keys) => database.changed(...keys),
    replicaLagMs: database.replicaLagMs,
  };
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
