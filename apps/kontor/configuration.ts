import { duration, integer, oneOf, port, secret, text, url } from "@kontor/platform/config/variables.ts";
import { readConfig } from "@kontor/platform/config/read-config.ts";
import type { Config } from "@kontor/platform/config/read-config.ts";

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
    min: 12,
    max: 1000,
  }),
  requestTimeoutMs: duration("KONTOR_REQUEST_TIMEOUT", { about: "how long a request may take", default: 10_000 }),
  logLevel: oneOf("KONTOR_LOG_LEVEL", ["debug", "info", "warn", "error"], { about: "which lines are logged", default: "info" }),
  logFormat: oneOf("KONTOR_LOG_FORMAT", ["json", "pretty"], {
    about: "how lines look; pretty on a terminal, otherwise json",
    optional: true,
  }),
} as const;

export type Configuration = Config<typeof configuration>;

/** Reads the environment. Throws a `ConfigError` that names every variable that is wrong. */
export function readConfiguration(env: Readonly<Record<string, string | undefined>>): Configuration {
  return readConfig(configuration, env, { known: ["KONTOR_TEST_POSTGRES"] });
}
