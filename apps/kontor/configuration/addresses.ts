import { host, integer, port, url } from "@kontor/platform/config/variables.ts";

/** Where this machine's shop listens, and how its customers reach it. */
export const addressVariables = {
  host: host("KONTOR_HOST", { about: "the address to listen on", default: "127.0.0.1" }),
  port: port("KONTOR_PORT", { about: "where the API listens", default: 4000 }),
  mailboxPort: port("KONTOR_MAILBOX_PORT", { about: "where the mailbox page listens", default: 4001 }),
  smtpPort: port("KONTOR_SMTP_PORT", { about: "where the mail catcher receives mail", default: 4002 }),
  opsPort: port("KONTOR_OPS_PORT", { about: "where /metrics, /healthz and /readyz of this process listen", optional: true }),
  publicUrl: url("KONTOR_PUBLIC_URL", { about: "the shop's address as its customers see it", schemes: ["http", "https"], optional: true }),
  proxies: integer("KONTOR_PROXIES", {
    about: "how many proxies are in front of the gateway, whose X-Forwarded-For is trusted",
    default: 0,
    max: 10,
  }),
} as const;
