import assert from "node:assert/strict";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { before, describe, it } from "node:test";
import { SMTPServer, type SMTPServerOptions } from "smtp-server";
import { refusalIn } from "../errors/refusal.ts";
import { afterTests } from "../testing/postgres.ts";
import { mailContract, type MailEngine } from "./mail.contract.ts";
import type { Mail } from "./mail.ts";
import { openTestCatcher, openTestMailer } from "./open-test-catcher.ts";

let engine: Promise<MailEngine> | undefined;
before(async () => {
  const catcher = await openTestCatcher();
  const mailer = openTestMailer({ url: catcher.smtpUrl });
  const inbox: MailEngine["inbox"] = async (to) => {
    const { messages } = await catcher.list({ to, limit: "1000" });
    const received = await Promise.all(messages.map(({ id }) => catcher.message(id)));
    return received.map(({ messageId, subject, text, html }) => ({
      messageId: String(messageId),
      subject: String(subject),
      text: String(text),
      html: String(html),
    }));
  };
  engine = Promise.resolve({ mailer, inbox });
});
mailContract("SMTP to the catcher", async () => (await engine)!);

const mail = (id: string, to = "ada@example.com"): Mail => ({
  id,
  from: "shop@kontor.test",
  to,
  subject: "Hi",
  text: "Hi",
  html: "<p>Hi</p>",
});
const unavailable = (pattern: RegExp) => (error: unknown) => {
  const refusal = refusalIn(error);
  return refusal?.reason === "DEPENDENCY_UNAVAILABLE" && refusal.code === "unavailable" && pattern.test(refusal.message);
};

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

/** An SMTP server with options of its own, and the Message-IDs that it accepted. */
async function smtpServer(options: SMTPServerOptions = {}) {
  const taken: string[] = [];
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ["STARTTLS"],
    allowInsecureAuth: true,
    disableReverseLookup: true,
    closeTimeout: 100,
    onData(stream, _session, done) {
      let text = "";
      stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
      stream.on("end", () => {
        taken.push(/^Message-ID: <(.*)@kontor>/m.exec(text)?.[1] ?? "?");
        done(null);
      });
    },
    ...options,
  });
  server.on("error", () => undefined);
  const sockets = new Set<Socket>();
  server.server.on("connection", (socket: Socket) => sockets.add(socket));
  const port = await listen(server.server);
  afterTests(() => new Promise<void>((resolve) => server.close(resolve)));
  return { taken, sockets, port, url: `smtp://127.0.0.1:${port}` };
}

describe("createSmtpMailer", () => {
  it("rejects at once, naming the server, when nothing listens", async () => {
    const server = createServer();
    const port = await listen(server);
    await new Promise((resolve) => server.close(resolve));
    const mailer = openTestMailer({ url: `smtp://127.0.0.1:${port}` });
    const started = performance.now();
    const tries = await Promise.allSettled([1, 2, 3, 4, 5, 6, 7, 8].map((n) => mailer.send(mail(`tsk_${n}`))));
    assert.ok(performance.now() - started < 1_000);
    for (const one of tries) assert.ok(one.status === "rejected" && unavailable(/127\.0\.0\.1:\d+ cannot be reached/)(one.reason));
  });

  it("sends over a new connection when the server has closed the old one", async () => {
    const first = await smtpServer();
    const mailer = openTestMailer({ url: first.url });
    await mailer.send(mail("tsk_1"));
    for (const socket of first.sockets) socket.destroy();
    await mailer.send(mail("tsk_2"));
    assert.deepEqual(first.taken, ["tsk_1", "tsk_2"]);
  });

  it("takes a bounded time when the server sends nothing", async () => {
    const sockets = new Set<Socket>();
    const port = await listen(
      createServer((socket) => sockets.add(socket.on("error", () => undefined))).on("listening", function (this: Server) {
        afterTests(() => {
          for (const socket of sockets) socket.destroy();
          this.close();
        });
      }),
    );
    const mailer = openTestMailer({ url: `smtp://127.0.0.1:${port}`, timeoutMs: 50 });
    const started = performance.now();
    await assert.rejects(mailer.send(mail("tsk_1")), unavailable(/does not respond in time/));
    assert.ok(performance.now() - started < 2_000);
  });

  it("takes a bounded time when the server does not respond to DATA, and closes that connection", async () => {
    let first = true;
    const server = await smtpServer({
      onData(stream, _session, done) {
        stream.resume();
        if (first) first = false;
        else stream.on("end", () => done(null));
      },
    });
    const mailer = openTestMailer({ url: server.url, timeoutMs: 1_000, connectionsMax: 1 });
    await assert.rejects(mailer.send(mail("tsk_1")), unavailable(/does not respond in time/));
    await mailer.send(mail("tsk_2"));
    assert.equal(server.sockets.size, 2);
  });

  it("RES-02: a mail whose outcome is unknown is not sent again by the mailer, only by its task, with the same Message-ID", async () => {
    const taken: string[] = [];
    const server = await smtpServer({
      onData(stream, _session, done) {
        let text = "";
        stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
        stream.on("end", () => {
          taken.push(/^Message-ID: (<.*>)/m.exec(text)?.[1] ?? "?");
          // The first time it has accepted the mail, and the client does not learn it.
          if (taken.length > 1) return done(null);
          for (const socket of server.sockets) socket.destroy();
        });
      },
    });
    const mailer = openTestMailer({ url: server.url });
    await assert.rejects(mailer.send(mail("tsk_1")), unavailable(/./));
    assert.deepEqual(taken, ["<tsk_1@kontor>"]);
    await mailer.send(mail("tsk_1"));
    assert.deepEqual(taken, ["<tsk_1@kontor>", "<tsk_1@kontor>"]);
  });

  it("distinguishes a permanent refusal from a transient one, and keeps the connection", async () => {
    const server = await smtpServer({
      onRcptTo({ address }, _session, done) {
        const responseCode = address.startsWith("no") ? 550 : address.startsWith("later") ? 450 : undefined;
        done(responseCode === undefined ? null : Object.assign(new Error(`not ${address}`), { responseCode }));
      },
    });
    const mailer = openTestMailer({ url: server.url, connectionsMax: 1 });
    await assert.rejects(mailer.send(mail("tsk_1", "no@example.com")), (error) => {
      const refusal = refusalIn(error);
      return refusal?.reason === "MAIL_REFUSED" && refusal.details["responseCode"] === 550 && !refusal.message.includes("no@example.com");
    });
    await assert.rejects(mailer.send(mail("tsk_2", "later@example.com")), unavailable(/cannot take a mail now \(450\)/));
    await mailer.send(mail("tsk_3"));
    assert.deepEqual([server.taken, server.sockets.size], [["tsk_3"], 1]);
  });

  it("refuses for good a mail that is larger than the server accepts", async () => {
    const server = await smtpServer({ size: 10_000 });
    const mailer = openTestMailer({ url: server.url });
    await assert.rejects(
      mailer.send({ ...mail("tsk_1"), text: "x\n".repeat(10_000) }),
      (error) => refusalIn(error)?.reason === "MAIL_REFUSED",
    );
    await mailer.send(mail("tsk_2"));
    assert.deepEqual(server.taken, ["tsk_2"]);
  });

  it("keeps its connections and opens no more than allowed", async () => {
    const server = await smtpServer();
    const mailer = openTestMailer({ url: server.url, connectionsMax: 2 });
    await Promise.all(Array.from({ length: 100 }, (_, n) => mailer.send(mail(`tsk_${n}`))));
    assert.deepEqual([server.taken.length, server.sockets.size], [100, 2]);
  });

  it("signs in with the user and password of the url", async () => {
    const credentials: unknown[] = [];
    const server = await smtpServer({
      authOptional: false,
      onAuth({ username, password }, _session, done) {
        credentials.push([username, password]);
        done(null, password === "p@ss" ? { user: username } : {});
      },
    });
    await openTestMailer({ url: `smtp://shop:p%40ss@127.0.0.1:${server.port}` }).send(mail("tsk_1"));
    const rejected = openTestMailer({ url: `smtp://shop:wrong@127.0.0.1:${server.port}` });
    await assert.rejects(rejected.send(mail("tsk_2")), unavailable(/cannot be reached/));
    assert.deepEqual([credentials[0], server.taken], [["shop", "p@ss"], ["tsk_1"]]);
  });

  it("stop waits for the mails that are being sent, then refuses", async () => {
    const dataSent = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const server = await smtpServer({
      onData(stream, _session, done) {
        stream.resume();
        dataSent.resolve();
        void gate.promise.finally(() => done(null));
      },
    });
    const mailer = openTestMailer({ url: server.url, connectionsMax: 1 });
    const sending = Promise.all([mailer.send(mail("tsk_1")), mailer.send(mail("tsk_2"))]);
    await dataSent.promise;
    const stopping = mailer.stop();
    await assert.rejects(mailer.send(mail("tsk_3")), unavailable(/this process is stopping/));
    gate.resolve();
    await Promise.all([sending, stopping, mailer.stop()]);
  });
});
