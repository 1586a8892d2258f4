import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { decodeWords } from "postal-mime";
import { SMTPServer, type SMTPServerDataStream, type SMTPServerError, type SMTPServerSession } from "smtp-server";
import type { Clock } from "../clock/clock.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { MailStore } from "./mail-store.ts";
import type { CaughtMail } from "./mail-writer.ts";

/** The largest message that is accepted, in bytes. */
export const mailSizeMax = 5 * 1024 * 1024;
const recipientsMax = 100;
const headerLengthMax = 64 * 1024;

/**
 * An SMTP server without authentication or TLS that stores every mail, for addresses of any domain. DATA is acknowledged only once the mail is
 * stored; when that fails the reply is 451, and the sender tries again.
 */
export function createMailServer({
  store,
  clock,
  log,
}: {
  readonly store: MailStore;
  readonly clock: Clock;
  readonly log: Logger;
}): SMTPServer {
  async function save(mail: CaughtMail, done: (error: Error | null) => void): Promise<void> {
    let refusal: Error | null = null;
    try {
      await store.add(mail);
    } catch (error) {
      log.error({ messageId: mail.messageId, error }, "a mail could not be stored");
      refusal = smtpError(451, "The mail could not be stored, try again");
    }
    done(refusal);
  }

  const server: SMTPServer = new SMTPServer({
    name: "kontor",
    banner: "mails end here",
    authOptional: true,
    disabledCommands: ["AUTH", "STARTTLS"],
    disableReverseLookup: true,
    size: mailSizeMax,
    rejectOversized: true,
    maxClients: 200,
    socketTimeout: 120_000,
    closeTimeout: 2_000,
    onMailFrom(_address, _session, done) {
      done(server.server.listening ? null : smtpError(421, "Stopping"));
    },
    onRcptTo(_address, session, done) {
      done(session.envelope.rcptTo.length >= recipientsMax ? smtpError(452, "Too many recipients") : null);
    },
    onData(stream, session, done) {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => {
        // A message that is too large is refused at its end; until then it must not fill the memory.
        if (stream.sizeExceeded) chunks.length = 0;
        else chunks.push(chunk);
      });
      stream.on("error", (error) => done(error));
      stream.on("end", () => {
        if (tooLarge(stream)) return done(smtpError(552, "The message is too large"));
        void save(caughtMail(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks), session, clock.now()), done);
      });
    },
  });
  // The library's own listener comes after it.
  server.server.on("connection", (socket) => socket.prependListener("data", () => corkForTick(socket)));
  return server;
}

/** The replies to commands that a client has sent together, as RFC 2920 allows, go out in one write. */
function corkForTick(socket: Socket): void {
  socket.cork();
  process.nextTick(() => socket.uncork());
}

/** Closes connections without a mail at once; one with a mail has two seconds to finish it. */
export function closeMailServer(server: SMTPServer): Promise<void> {
  return new Promise((resolve) => {
    server.close(resolve);
    for (const connection of server.connections) {
      if (connection.session.envelope?.mailFrom) continue;
      connection.send(421, "Stopping");
      connection.close();
    }
  });
}

function tooLarge(stream: SMTPServerDataStream): boolean {
  return stream.sizeExceeded;
}

function smtpError(responseCode: number, message: string): SMTPServerError {
  return Object.assign(new Error(message), { responseCode });
}

function caughtMail(raw: Buffer, { envelope }: SMTPServerSession, receivedAt: Date): CaughtMail {
  const headers = headersOf(raw);
  return {
    messageId: messageIdOf(headers, raw),
    sender: envelope.mailFrom === false ? "" : storable(envelope.mailFrom.address),
    recipients: envelope.rcptTo.map(({ address }) => storable(address).toLowerCase()),
    subject: storable(decodeWords(header(headers, "subject"))).slice(0, 1_000),
    receivedAt,
    raw,
  };
}

/** The header lines, unfolded. */
function headersOf(raw: Buffer): string {
  const end = raw.indexOf("\r\n\r\n");
  return raw.toString("utf8", 0, Math.min(end < 0 ? raw.length : end, headerLengthMax)).replace(/\r\n(?=[ \t])/g, "");
}

function header(headers: string, name: string): string {
  const at = `\r\n${headers}`.toLowerCase().indexOf(`\r\n${name}:`);
  if (at < 0) return "";
  const end = headers.indexOf("\r\n", at);
  return headers.slice(at + name.length + 1, end < 0 ? undefined : end).trim();
}

/** A message without an id gets one from its bytes, so that it too is stored once. */
function messageIdOf(headers: string, raw: Buffer): string {
  const id = storable(/<([^<>]+)>/.exec(header(headers, "message-id"))?.[1] ?? "").trim();
  return id !== "" && id.length <= 250 ? id : `${createHash("sha256").update(raw).digest("hex").slice(0, 32)}@without-id`;
}

/** PostgreSQL's text has no NUL, and recipients are stored separated by spaces. */
function storable(text: string): string {
  return text.replace(/\u0000/g, "");
}
