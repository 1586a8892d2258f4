import type { Config } from "@kontor/platform/config/read-config.ts";
import { text } from "@kontor/platform/config/variables.ts";

/** The variables of notifications. */
export const settings = {
  mailFrom: text("KONTOR_MAIL_FROM", { about: "the sender of mails", default: "shop@kontor.example" }),
} as const;

export type NotificationsSettings = Config<typeof settings>;
