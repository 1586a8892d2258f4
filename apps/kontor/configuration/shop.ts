import { currencyCodes } from "@kontor/contracts/currencies.ts";
import { duration, oneOf, secret, text } from "@kontor/platform/config/variables.ts";

/** What is the shop's own, wherever it runs. */
export const shopVariables = {
  shopName: text("KONTOR_SHOP_NAME", { about: "the shop's name in mails and on pages", default: "Kontor" }),
  currency: text("KONTOR_CURRENCY", {
    about: "the currency that the shop sells in: that of imports which name none",
    pattern: new RegExp(`^(${currencyCodes.join("|")})$`),
    expected: "a currency of ISO 4217 such as EUR",
    optional: true,
  }),
  seed: oneOf("KONTOR_SEED", ["demo", "none"], { about: "what an empty shop is filled with", default: "demo" }),
  masterKey: secret("KONTOR_MASTER_KEY", {
    about: "64 hex digits that other secrets are derived from; created and stored in the data folder without it",
    optional: true,
  }),
  rateLimits: text("KONTOR_RATE_LIMITS", {
    about:
      "how many requests a client may send: 600/m,catalog=3000/m,identity=off; brute-force=1000/15m,guest-writes=1200/m hold unless set",
    optional: true,
  }),
  requestTimeoutMs: duration("KONTOR_REQUEST_TIMEOUT", { about: "how long a request may take", default: 10_000 }),
  logLevel: oneOf("KONTOR_LOG_LEVEL", ["debug", "info", "warn", "error"], { about: "which lines are logged", default: "info" }),
  logFormat: oneOf("KONTOR_LOG_FORMAT", ["json", "pretty"], {
    about: "how lines look; pretty on a terminal, otherwise json",
    optional: true,
  }),
} as const;
