import type { Config } from "@kontor/platform/config/read-config.ts";
import { port, url } from "@kontor/platform/config/variables.ts";

/** The variables of payments. */
export const settings = {
  providerUrl: url("KONTOR_PROVIDER_URL", {
    about: "where the payment provider is; the built-in one of this machine without it",
    schemes: ["http", "https"],
    optional: true,
  }),
  providerPort: port("KONTOR_PROVIDER_PORT", { about: "where the built-in payment provider listens", default: 4003 }),
} as const;

export type PaymentsSettings = Config<typeof settings>;
