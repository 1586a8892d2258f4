import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo, Server } from "node:net";
import type { Clock } from "../clock/clock.ts";
import type { Database } from "../database/database.ts";
import type { MigrationSet } from "../database/migrate.ts";
import type { Logger } from "../telemetry/logger.ts";
import { closeMailServer, createMailServer } from "./catch-mails.ts";
import { createMailStore } from "./mail-store.ts";
import { createMailboxPages } from "./mailbox-pages.ts";
import { mailboxRetention } from "./mailbox-retention.ts";
import { Sweeper } from "../retention/sweeper.ts";

/** The tables that the catcher's database needs; its owner applies them. */
export const mailboxMigrations: MigrationSet = { scope: "mailbox", folder: new URL("./migrations/", import.meta.url) };

export interface MailCatcherOptions {
  /** Its own, with `mailboxMigrations` applied. */
  readonly database: Database;
  /** 0 takes any free port. */
  readonly smtpPort: number;
  readonly httpPort: number;
  /** "127.0.0.1" by default. On another one everybody who can connect can read the mails, with their links and codes. */
  readonly host?: string;
  readonly log: Logger;
  readonly clock: Clock;
}

export interface MailCatcher {
  /** Where mails are to be sent, and where they can be read. Throws when a port is taken. */
  start(): Promise<{ readonly smtpUrl: string; readonly url: string }>;
  /** Finishes the mails that are being received, and closes both ports. */
  stop(): Promise<void>;
}

/** An SMTP server that forwards nothing: mails are stored, one per Message-ID, and shown on a page of its own. */
export function createMailCatcher({ database, smtpPort, httpPort, host = "127.0.0.1", log, clock }: MailCatcherOptions): MailCatcher {
  const loopback = ["localhost", "127.0.0.1", "::1"];
  const store = createMailStore(database);
  const smtp = createMailServer({ store, clock, log });
  const pages = createMailboxPages({ store, log, hosts: loopback.includes(host) ? [...loopback, "[::1]"] : undefined });
  const http = createServer({ requestTimeout: 10_000 }, pages.handle);
  const sweeper = new Sweeper({ database, retentions: mailboxRetention, clock, log });
  let starting: Promise<{ smtpUrl: string; url: string }> | undefined;
  let stopping: Promise<void> | undefined;

  async function start() {
    // A client that disconnects in the middle of a mail is no problem of the server.
    smtp.on("error", (error: unknown) => log.debug({ error }, "smtp"));
    await listening(smtp.server, () => smtp.listen(smtpPort, host));
    await listening(http, () => http.listen(httpPort, host));
    sweeper.start();
    return { smtpUrl: `smtp://${addressOf(smtp.server)}`, url: `http://${addressOf(http)}` };
  }

  async function stop(): Promise<void> {
    pages.stop();
    await Promise.all([
      sweeper.stop(),
      smtp.server.listening ? closeMailServer(smtp) : undefined,
      http.listening
        ? new Promise<void>((resolve) => {
            http.close(() => resolve());
            http.closeIdleConnections();
          })
        : undefined,
    ]);
  }

  return {
    start: () =>
      (starting ??= start().catch(async (error: unknown) => {
        await stop();
        throw error;
      })),
    stop: () => (stopping ??= stop()),
  };
}

async function listening(server: Server, listen: () => void): Promise<void> {
  const up = once(server, "listening");
  listen();
  await up;
}

function addressOf(server: Server): string {
  const { address, port, family } = server.address() as AddressInfo;
  // Bound to all addresses, it is available at the loopback one.
  if (address === "0.0.0.0" || address === "::") return `127.0.0.1:${port}`;
  return family === "IPv6" ? `[${address}]:${port}` : `${address}:${port}`;
}
