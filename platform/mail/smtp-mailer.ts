import SMTPConnection from "nodemailer/lib/smtp-connection";
import type { Clock } from "../clock/clock.ts";
import { systemClock } from "../clock/clock.ts";
import { forbidInTransaction } from "../database/in-transaction.ts";
import { refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { composeMail, type ComposedMail } from "./compose-mail.ts";
import type { Mail, Mailer } from "./mail.ts";

export interface SmtpOptions {
  /** `smtp://user:password@host:port`, or `smtps://` for TLS from the start. STARTTLS is used where it is offered, and required for a password. */
  readonly url: string;
  readonly log: Logger;
  /** 4 by default. Opened when needed, closed when idle for 20 s. */
  readonly connectionsMax?: number;
  /** How long a mail may take, waiting included: 10,000 by default. */
  readonly timeoutMs?: number;
  readonly clock?: Clock;
}

/** A mailer with a life; works from the first `send` on. */
export interface SmtpMailer extends Mailer {
  start(): Promise<void>;
  /** Takes no more mails, waits for those under way, closes the connections. */
  stop(): Promise<void>;
}

/**
 * Sends mails over a few kept SMTP connections, several mails a connection. `send` refuses with `DEPENDENCY_UNAVAILABLE` when the server cannot be
 * reached, does not answer in time or cannot take it now, and with `MAIL_REFUSED` or `MAIL_INVALID` when trying again will not help.
 */
export function createSmtpMailer(options: SmtpOptions): SmtpMailer {
  return new PooledMailer(options);
}

interface Job {
  readonly mail: ComposedMail;
  readonly deadlineMs: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  /** Once, when a connection that had been idle turned out to be dead. */
  repeated: boolean;
}

interface Line {
  readonly connection: SMTPConnection;
  job: Job | undefined;
  connected: boolean;
  /** Mails that it has carried. */
  carried: number;
  idleSinceMs: number;
}

interface SmtpError extends Error {
  readonly code?: string | undefined;
  readonly responseCode?: number | undefined;
}

const connectTimeoutMs = 3_000;
const quitTimeoutMs = 1_000;
const idleMsMax = 20_000;
const sweepMs = 500;
/** While the server is away every mail fails; the log hears of it this often. */
const complaintMs = 5_000;

class PooledMailer implements SmtpMailer {
  readonly #url: URL;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #linesMax: number;
  readonly #timeoutMs: number;
  readonly #waiting: Job[] = [];
  readonly #lines = new Set<Line>();
  readonly #idle: Line[] = [];
  #sweeper: NodeJS.Timeout | undefined;
  #stopping: Promise<void> | undefined;
  #drained: (() => void) | undefined;
  #quietUntilMs = 0;

  constructor({ url, log, connectionsMax = 4, timeoutMs = 10_000, clock = systemClock }: SmtpOptions) {
    this.#url = new URL(url);
    if (!["smtp:", "smtps:"].includes(this.#url.protocol)) throw new Error("a mail server's url begins with smtp:// or smtps://");
    this.#log = log;
    this.#clock = clock;
    this.#linesMax = connectionsMax;
    this.#timeoutMs = timeoutMs;
  }

  async start(): Promise<void> {}

  async send(mail: Mail): Promise<void> {
    forbidInTransaction("sending a mail");
    const composed = composeMail(mail, this.#clock.now());
    if (this.#stopping !== undefined) throw this.#unavailable("is not asked any more: this process is stopping");
    await new Promise<void>((resolve, reject) => {
      this.#waiting.push({ mail: composed, deadlineMs: performance.now() + this.#timeoutMs, resolve, reject, repeated: false });
      this.#dispatch();
    });
  }

  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  async #stop(): Promise<void> {
    // Bounded, because every mail has a deadline that the sweeper enforces.
    if (this.#waiting.length > 0 || this.#busy()) await new Promise<void>((resolve) => (this.#drained = resolve));
    for (const line of this.#lines) this.#drop(line);
  }

  #busy(): boolean {
    for (const line of this.#lines) if (line.job !== undefined) return true;
    return false;
  }

  #dispatch(): void {
    while (this.#waiting.length > 0) {
      const line = this.#idle.pop();
      if (line === undefined) break;
      this.#carry(line, this.#waiting.shift()!);
    }
    let opening = 0;
    for (const line of this.#lines) if (!line.connected) opening++;
    for (; opening < this.#waiting.length && this.#lines.size < this.#linesMax; opening++) this.#open();
    if (this.#drained !== undefined && this.#waiting.length === 0 && !this.#busy()) this.#drained();
  }

  #open(): void {
    const { protocol, hostname, port, username, password } = this.#url;
    const host = hostname.replace(/^\[|\]$/g, "");
    const secure = protocol === "smtps:";
    const connection = new SMTPConnection({
      host,
      ...(port !== "" && { port }),
      secure,
      // A password does not leave the machine in the clear.
      requireTLS: username !== "" && !secure && !["localhost", "127.0.0.1", "::1"].includes(host),
      connectionTimeout: connectTimeoutMs,
      greetingTimeout: connectTimeoutMs,
      dnsTimeout: connectTimeoutMs,
      socketTimeout: this.#timeoutMs + idleMsMax,
      socketCloseTimeout: 1_000,
      logger: false,
    });
    const line: Line = { connection, job: undefined, connected: false, carried: 0, idleSinceMs: 0 };
    this.#lines.add(line);
    this.#sweeper ??= setInterval(() => this.#sweep(), sweepMs).unref();
    const ready = (error?: Error | null): void => {
      if (error) return this.#lost(line, error);
      line.connected = true;
      this.#release(line);
    };
    connection.on("error", (error: Error) => this.#lost(line, error));
    connection.once("end", () => this.#lost(line, new Error("The server closed the connection")));
    connection.connect((error) => {
      if (error || username === "") return ready(error);
      connection.login({ credentials: { user: decodeURIComponent(username), pass: decodeURIComponent(password) } }, ready);
    });
  }

  #carry(line: Line, job: Job): void {
    line.job = job;
    const { from, to, raw } = job.mail;
    line.connection.send({ from, to: [to], size: raw.length }, raw, (error) => {
      // Another job means that this one is settled already, by its deadline.
      if (line.job !== job) return;
      if (error) return this.#failed(line, job, error);
      line.job = undefined;
      line.carried++;
      job.resolve();
      this.#release(line);
    });
  }

  #release(line: Line): void {
    if (!this.#lines.has(line)) return;
    line.idleSinceMs = performance.now();
    this.#idle.push(line);
    this.#dispatch();
  }

  #failed(line: Line, job: Job, error: SmtpError): void {
    if ((error.code !== "EENVELOPE" && error.code !== "EMESSAGE") || error.responseCode === 421) return this.#lost(line, error);
    // This mail was refused; the connection itself is fine.
    line.job = undefined;
    job.reject(this.#refused(error));
    line.connection.reset((resetError) => (resetError ? this.#lost(line, resetError) : this.#release(line)));
  }

  #refused(error: SmtpError): Error {
    // Without an answer it is the client that refuses, knowing the server's limits.
    const code = error.responseCode ?? 552;
    if (code < 500) return this.#unavailable(`cannot take a mail now (${code})`, error);
    const message = `The mail server refuses the mail (${code}).`;
    return refuse({ reason: "MAIL_REFUSED", code: "failed_precondition", message, details: { responseCode: code }, cause: error });
  }

  /** The connection is of no more use. What it carried fails, unless it had been idle: then the mail gets one more try on a fresh one. */
  #lost(line: Line, error: Error): void {
    if (!this.#lines.has(line)) return;
    const { job } = line;
    this.#drop(line);
    if (job !== undefined) {
      if (line.carried > 0 && !job.repeated && this.#stopping === undefined) {
        job.repeated = true;
        this.#waiting.unshift(job);
      } else job.reject(this.#unavailable("broke the connection", error));
    } else if (!line.connected) {
      const nowMs = performance.now();
      if (nowMs >= this.#quietUntilMs) {
        this.#quietUntilMs = nowMs + complaintMs;
        this.#log.warn({ server: this.#url.host, error }, "the mail server cannot be reached");
      }
      // Without a working connection the others would only wait for the same answer.
      if (![...this.#lines].some((other) => other.connected))
        for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#unavailable("cannot be reached", error));
    }
    this.#dispatch();
  }

  #drop(line: Line): void {
    this.#lines.delete(line);
    line.job = undefined;
    const at = this.#idle.indexOf(line);
    if (at >= 0) this.#idle.splice(at, 1);
    // An error of a connection that is given up concerns nobody, but without a listener it would end the process.
    line.connection.removeAllListeners();
    line.connection.on("error", () => undefined);
    if (line.connected && at >= 0) {
      line.connection.quit();
      // For a server that does not answer it.
      setTimeout(() => line.connection.close(), quitTimeoutMs).unref();
    } else line.connection.close();
    if (this.#lines.size === 0) {
      clearInterval(this.#sweeper);
      this.#sweeper = undefined;
    }
  }

  /** One timer for all deadlines, so that a mail costs none. */
  #sweep(): void {
    const nowMs = performance.now();
    for (const line of this.#lines) {
      const { job } = line;
      if (job !== undefined && job.deadlineMs <= nowMs) {
        this.#drop(line);
        job.reject(this.#unavailable("does not answer"));
      } else if (job === undefined && line.connected && nowMs - line.idleSinceMs > idleMsMax) this.#drop(line);
    }
    while (this.#waiting[0] !== undefined && this.#waiting[0].deadlineMs <= nowMs)
      this.#waiting.shift()?.reject(this.#unavailable("is too slow"));
    this.#dispatch();
  }

  #unavailable(what: string, cause?: Error): Error {
    const message = `The mail server at ${this.#url.host} ${what}.`;
    return refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable", message, cause });
  }
}
