import { Readable } from "node:stream";
import SMTPPool from "nodemailer/lib/smtp-pool";
import type { Clock } from "../clock/clock.ts";
import { systemClock } from "../clock/clock.ts";
import { forbidInTransaction } from "../database/in-transaction.ts";
import { refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { composeMail } from "./compose-mail.ts";
import type { ComposedMail } from "./compose-mail.ts";
import type { Mailer } from "./mail.ts";

export interface SmtpOptions {
  /** `smtp://user:password@host:port`, or `smtps://` for TLS from the start. STARTTLS is used where it is offered, and required for a password. */
  readonly url: string;
  readonly log: Logger;
  /** 4 by default. Opened when needed, closed when idle for 20 s. */
  readonly connectionsMax?: number;
  /** How long a mail may take, in ms, waiting for a connection included: 10,000 by default. */
  readonly timeoutMs?: number;
  readonly clock?: Clock;
}

/** A mailer with connections; works from the first `send` on. */
export interface SmtpMailer extends Mailer {
  start(): Promise<void>;
  /** Refuses further mails, waits for those that are being sent, closes the connections. */
  stop(): Promise<void>;
}

interface SmtpError extends Error {
  readonly code?: string | undefined;
  readonly responseCode?: number | undefined;
}

const connectTimeoutMs = 3_000;
const idleMsMax = 20_000;
/** While the server is unreachable every mail fails; it is logged this often. */
const logMsMin = 5_000;

/**
 * Sends mails over nodemailer's pool of SMTP connections, several mails a connection. `send` refuses with `DEPENDENCY_UNAVAILABLE` when the
 * server cannot be reached, does not respond in time or cannot take the mail now, and with `MAIL_REFUSED` or `MAIL_INVALID` when trying again
 * will not help. A mail of which any byte was sent is not sent again by itself.
 */
export function createSmtpMailer({ url, log, connectionsMax = 4, timeoutMs = 10_000, clock = systemClock }: SmtpOptions): SmtpMailer {
  const { host } = new URL(url);
  const pool = openPool(url, { connectionsMax, timeoutMs });
  const sending = new Set<Promise<void>>();
  let stopping: Promise<void> | undefined;
  let loggedMs = -Infinity;

  const unavailable = (problem: string, cause?: Error): Error =>
    refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable", message: `The mail server at ${host} ${problem}.`, cause });

  const refusalOf = (error: SmtpError): Error => {
    if (error.code === "EABORT") return unavailable("does not respond in time", error);
    if (error.code !== "EENVELOPE" && error.code !== "EMESSAGE") {
      const nowMs = performance.now();
      if (nowMs - loggedMs >= logMsMin) {
        loggedMs = nowMs;
        log.warn({ server: host, error }, "the mail server cannot be reached");
      }
      return unavailable("cannot be reached or has closed the connection", error);
    }
    // Without a code the client refuses by itself, because of the limits that the server has announced.
    const responseCode = error.responseCode ?? 552;
    if (responseCode < 500) return unavailable(`cannot take a mail now (${responseCode})`, error);
    const message = `The mail server refuses the mail (${responseCode}).`;
    return refuse({ reason: "MAIL_REFUSED", code: "failed_precondition", message, details: { responseCode }, cause: error });
  };

  const deliver = (mail: ComposedMail): Promise<void> =>
    new Promise((resolve, reject) => {
      // AbortSignal.timeout would fire, and cost an exception, long after the mail was sent.
      const late = new AbortController();
      const timer = setTimeout(() => late.abort(), timeoutMs);
      pool.send(poolMessage(mail, late.signal), (error) => {
        clearTimeout(timer);
        if (error) reject(refusalOf(error));
        else resolve();
      });
    });

  return {
    start: async () => undefined,
    async send(mail) {
      forbidInTransaction("sending a mail");
      const composed = composeMail(mail, clock.now());
      if (stopping !== undefined) throw unavailable("gets no more mails: this process is stopping");
      const delivery = deliver(composed);
      sending.add(delivery);
      try {
        await delivery;
      } finally {
        sending.delete(delivery);
      }
    },
    stop: () => (stopping ??= Promise.allSettled(sending).then(() => pool.close())),
  };
}

/** Throws when the url is not one of SMTP. */
function openPool(url: string, { connectionsMax, timeoutMs }: { readonly connectionsMax: number; readonly timeoutMs: number }): SMTPPool {
  const { protocol, hostname, port, username, password } = new URL(url);
  if (!["smtp:", "smtps:"].includes(protocol)) throw new Error("a mail server's url begins with smtp:// or smtps://");
  const host = hostname.replace(/^\[|\]$/g, "");
  const secure = protocol === "smtps:";
  return new SMTPPool({
    host,
    ...(port !== "" && { port: Number(port) }),
    secure,
    // A password does not leave the machine unencrypted.
    requireTLS: username !== "" && !secure && !["localhost", "127.0.0.1", "::1"].includes(host),
    ...(username !== "" && { auth: { user: decodeURIComponent(username), pass: decodeURIComponent(password) }, forceAuth: true }),
    maxConnections: connectionsMax,
    maxMessages: Infinity,
    // For a connection that the server closed while it was idle: nothing of the mail was sent then.
    maxRequeues: 1,
    idleTimeout: idleMsMax,
    connectionTimeout: connectTimeoutMs,
    greetingTimeout: connectTimeoutMs,
    dnsTimeout: connectTimeoutMs,
    socketTimeout: timeoutMs + idleMsMax,
  });
}

type PoolMessage = Parameters<SMTPPool["send"]>[0];

/** A composed mail as the pool takes it. Nodemailer's own message would be composed, and parsed, once more: 200 µs a mail. */
function poolMessage({ id, from, to, raw }: ComposedMail, signal: AbortSignal): PoolMessage {
  const message = {
    getEnvelope: () => ({ from, to: [to], size: raw.length }),
    messageId: () => id,
    getHeader: () => id,
    createReadStream: () => Readable.from([raw]),
  };
  // The pool uses nothing else of nodemailer's own message.
  return { data: { signal }, message } as unknown as PoolMessage;
}
