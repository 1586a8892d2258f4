import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { systemClock } from "@kontor/platform/clock/clock.ts";
import type { Clock } from "@kontor/platform/clock/clock.ts";
import type { Database } from "@kontor/platform/database/database.ts";
import type { MigrationSet } from "@kontor/platform/database/migrate.ts";
import { createIds } from "@kontor/platform/ids/ids.ts";
import { Sweeper } from "@kontor/platform/retention/sweeper.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { entryIds } from "./ledger.ts";
import { settleSessions, usualDelays } from "./decide-by-card.ts";
import type { DecideNeeds, Delays } from "./decide-by-card.ts";
import { Scheduler } from "./scheduler.ts";
import { faultScript } from "./faults.ts";
import type { Faults } from "./faults.ts";
import { createHandler } from "./create-handler.ts";
import { inFlightCounter } from "./in-flight-counter.ts";
import { providerRetention } from "./retention.ts";
import { createSessionBatches } from "./session-batches.ts";
import { WebhookSender } from "./webhook-sender.ts";

export type { Delays } from "./decide-by-card.ts";
export type { Faults } from "./faults.ts";
export { testCards } from "./test-cards.ts";

export interface ProviderServerOptions {
  /** Its own, brought up to date with `providerMigrations`. One server uses it at a time. */
  readonly database: Database;
  readonly log: Logger;
  /** 0 takes a free one. */
  readonly port: number;
  readonly host: string;
  /** The address as shoppers see it, without a slash at the end: the one it listens on by default. */
  readonly publicUrl?: string;
  readonly apiKey: string;
  /** `whsec_` and base64. */
  readonly webhookSecret: string;
  /** Where the merchant receives webhooks. */
  readonly webhookUrl: string;
  readonly clock?: Clock;
  /** Whom the shopper pays: "the shop". */
  readonly merchant?: string;
  /** Of the test cards that take their time. */
  readonly delays?: Partial<Delays>;
  /** What is to go wrong; `POST /v1/faults` replaces it. */
  readonly faults?: Faults;
  /** From 0 to below 1: decides about faults that have a probability, and spreads retries. */
  readonly random?: () => number;
}

export interface ProviderServer {
  /** Listens, and continues with what an earlier process has not finished: sessions that are processing, webhooks not delivered. Again gives the same. */
  start(): Promise<{ readonly url: string }>;
  /** Takes no more requests, ends those under way and the deliveries, within some seconds. Again is fine. */
  stop(): Promise<void>;
  /** Resolves when nothing is left to do without time passing: requests, decisions that are due, webhooks that are due, and recording them. */
  idle(): Promise<void>;
}

/** The tables of the provider's database. */
export const providerMigrations: MigrationSet = { scope: "provider", folder: new URL("../migrations/", import.meta.url) };

const stopMs = 5_000;

/**
 * The built-in payment provider: hosted payment page, test cards, signed webhooks, a ledger of its own, faults on demand. To the payments
 * service it is another company: they share an HTTP contract, an api key and a webhook secret.
 */
export function createProviderServer(options: ProviderServerOptions): ProviderServer {
  const {
    database,
    log,
    port,
    host,
    apiKey,
    webhookSecret,
    webhookUrl,
    clock = systemClock,
    merchant = "the shop",
    random = Math.random,
  } = options;
  let publicUrl = options.publicUrl;
  const stopping = new AbortController();
  const inFlight = inFlightCounter();
  const ids = createIds(clock);
  const ownUrl = (): string => {
    if (publicUrl === undefined) throw new Error("the provider has not been started");
    return publicUrl;
  };
  const webhooks = new WebhookSender({ database, log, clock, random, url: webhookUrl, secret: webhookSecret, publicUrl: ownUrl });
  const settling: Scheduler = new Scheduler({ name: "deciding what was processing", clock, log, work: () => settleSessions(deciding) });
  const deciding: DecideNeeds = {
    database,
    sessions: createSessionBatches(database),
    clock,
    ids,
    webhooks,
    settling,
    charges: entryIds(() => ids.next("ch")),
    faults: faultScript(options.faults ?? {}, random),
    delays: { ...usualDelays, ...options.delays },
  };
  const sweeper = new Sweeper({ database, retentions: providerRetention, clock, log });
  const refunds = entryIds(() => ids.next("rf"));
  const handle = createHandler({ ...deciding, refunds, publicUrl: ownUrl, merchant, log, apiKey, inFlight, stopping: stopping.signal });
  const server = createServer({ keepAliveTimeout: 65_000 }, (request, response) => void handle(request, response));
  server.headersTimeout = 10_000;
  server.requestTimeout = 15_000;

  const start = async (): Promise<{ url: string }> => {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ port, host, backlog: 1024 }, () => {
        server.off("error", reject);
        resolve();
      });
    });
    const { address, family, port: bound } = server.address() as AddressInfo; // it listens on a port, not on a pipe
    const url = `http://${family === "IPv6" ? `[${address}]` : address}:${bound}`;
    publicUrl ??= url;
    settling.wakeAt(clock.now());
    webhooks.start();
    sweeper.start();
    return { url };
  };

  const stop = async (): Promise<void> => {
    stopping.abort();
    const closed = server.listening ? new Promise<unknown>((resolve) => server.close(resolve)) : undefined;
    const late = setTimeout(() => server.closeAllConnections(), stopMs);
    // Requests under way end before their connections are closed.
    await inFlight.empty();
    await nextTurn();
    server.closeIdleConnections();
    await settling.stop();
    await webhooks.stop();
    await sweeper.stop();
    await closed;
    clearTimeout(late);
  };

  let started: Promise<{ url: string }> | undefined;
  let stopped: Promise<void> | undefined;
  return {
    start: () => (started ??= start()),
    stop: () => (stopped ??= stop()),
    idle: async () => {
      do {
        // A clock that was just moved wakes its waiters in this turn.
        await nextTurn();
        await inFlight.empty();
        await settling.idle();
        await webhooks.idle();
      } while (inFlight.count > 0 || settling.busy || webhooks.busy);
    },
  };
}
