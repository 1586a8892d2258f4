import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { before, describe, it } from "node:test";
import SMTPConnection from "nodemailer/lib/smtp-connection";
import { afterTests } from "../testing/postgres.ts";
import type { Mail } from "./mail.ts";
import { createMailCatcher } from "./mail-catcher.ts";
import { openTestCatcher, openTestMailer, silent, type TestCatcher } from "./open-test-catcher.ts";
import { refusalIn } from "../errors/refusal.ts";
import { systemClock } from "../clock/clock.ts";
import type { SmtpMailer } from "./smtp-mailer.ts";

let shared: TestCatcher;
let mailer: SmtpMailer;
before(async () => {
  shared = await openTestCatcher();
  mailer = openTestMailer({ url: shared.smtpUrl });
});

let made = 0;
const mail = (change: Partial<Mail> = {}): Mail => {
  const id = `tsk_${++made}`;
  const given = {
    from: "Kontor <shop@kontor.test>",
    to: `${id}@example.com`,
    subject: "Your order",
    text: "Thanks",
    html: "<p>Thanks</p>",
  };
  return { id, ...given, ...change };
};

/** A message as it is, past the mailer. */
async function sendRaw(catcher: TestCatcher, raw: string | Buffer, to: readonly string[]): Promise<void> {
  const { hostname, port } = new URL(catcher.smtpUrl);
  const connection = new SMTPConnection({ host: hostname, port, logger: false });
  connection.on("error", () => undefined);
  await new Promise<void>((resolve, reject) => connection.connect((error) => (error ? reject(error) : resolve())));
  try {
    await new Promise<void>((resolve, reject) =>
      connection.send({ from: "", to: [...to] }, raw, (error) => (error ? reject(error) : resolve())),
    );
  } finally {
    connection.close();
  }
}

describe("createMailCatcher", () => {
  it("I7: stores one mail per Message-ID, also of two at once", async () => {
    const twice = mail();
    await mailer.send(twice);
    await mailer.send(twice);
    const together = mail({ to: twice.to });
    await Promise.all(Array.from({ length: 20 }, () => mailer.send(together)));
    const { messages, total } = await shared.list({ to: twice.to, total: "true" });
    assert.deepEqual([messages.map(({ id }) => id), total], [[`${together.id}@kontor`, `${twice.id}@kontor`], 2]);
  });

  it("stores a message without an id once, and messages with unusual headers", async () => {
    const bare = Buffer.from("Subject: bare\r\n\r\nno id");
    await sendRaw(shared, bare, ["bare@example.com"]);
    await sendRaw(shared, bare, ["bare@example.com"]);
    const folded = `X-Note: a\r\nSUBJECT: =?UTF-8?Q?fold=C3=A9?=\r\n =?UTF-8?Q?_d?=\r\nmessage-id:\r\n <${"x".repeat(300)}@y>\r\n\r\nb`;
    await sendRaw(shared, folded, ["Odd@Example.com", "other@example.com"]);
    assert.equal((await shared.list({ to: "bare@example.com" })).messages.length, 1);
    const [odd] = (await shared.list({ to: "odd@example.com" })).messages;
    assert.deepEqual([odd?.subject, odd?.from, odd?.to], ["foldé d", "", ["odd@example.com", "other@example.com"]]);
    await sendRaw(shared, "\r\n\r\n", ["empty@example.com"]);
    assert.equal((await shared.list({ to: "empty@example.com" })).messages.length, 1);
  });

  it("has its mails after a restart", async () => {
    const first = await shared.again();
    const sent = mail();
    const sender = openTestMailer({ url: first.smtpUrl });
    await sender.send(sent);
    await sender.stop();
    await first.catcher.stop();
    const second = await first.again();
    await openTestMailer({ url: second.smtpUrl }).send(sent);
    assert.deepEqual(
      (await second.list({ to: sent.to })).messages.map(({ id }) => id),
      [`${sent.id}@kontor`],
    );
  });

  it("stores concurrent mails in few statements, and acknowledges after them", async () => {
    let statements = 0;
    const counting = await shared.again((database) => ({
      ...database,
      name: database.name,
      rows: (query) => database.rows(query),
      run: async (query) => {
        statements++;
        return database.run(query);
      },
    }));
    const sender = openTestMailer({ url: counting.smtpUrl, connectionsMax: 20 });
    await Promise.all(Array.from({ length: 200 }, () => sender.send(mail({ to: "many@example.com" }))));
    assert.equal((await counting.list({ to: "many@example.com", limit: "1000" })).messages.length, 200);
    assert.ok(statements < 100, `${statements} statements`);
  });

  it("responds in order to commands that are sent together", async () => {
    const { hostname, port } = new URL(shared.smtpUrl);
    const socket = connect(Number(port), hostname);
    let replies = "";
    const expect = async (codes: RegExp): Promise<void> => {
      while (!codes.test(replies)) replies += String((await once(socket, "data"))[0]);
      replies = "";
    };
    await expect(/^220 .*\r\n$/);
    socket.write("EHLO here\r\n");
    await expect(/^250 .*\r\n$/m);
    const to = "pipelined@example.com";
    for (const id of ["one", "two"]) {
      socket.write(`MAIL FROM:<a@example.com>\r\nRCPT TO:<${to}>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n`);
      await expect(/^250 .*\r\n250 .*\r\n250 .*\r\n354 .*\r\n$/);
      socket.write(`Message-ID: <${id}@pipelined>\r\n\r\nx\r\n.\r\nNOOP\r\n`);
      await expect(/^250 .*\r\n250 .*\r\n$/);
    }
    socket.end("QUIT\r\n");
    await expect(/^221 .*\r\n$/);
    const { messages } = await shared.list({ to });
    assert.deepEqual(
      messages.map(({ id }) => id),
      ["two@pipelined", "one@pipelined"],
    );
  });

  it("does not acknowledge what it could not store", async () => {
    const broken = await shared.again((database) => ({
      ...database,
      name: database.name,
      run: () => Promise.reject(new Error("disk full")),
    }));
    const sender = openTestMailer({ url: broken.smtpUrl });
    await assert.rejects(sender.send(mail()), (error) => refusalIn(error)?.reason === "DEPENDENCY_UNAVAILABLE");
  });

  it("S16: refuses messages of more than 5 MiB and too many recipients", async () => {
    const large = Buffer.alloc(5 * 1024 * 1024 + 1, "x".repeat(70) + "\r\n");
    await assert.rejects(
      sendRaw(shared, Buffer.concat([Buffer.from("Message-ID: <large@x>\r\n\r\n"), large]), ["large@example.com"]),
      /552/,
    );
    assert.equal((await shared.list({ to: "large@example.com" })).messages.length, 0);
    const many = Array.from({ length: 101 }, (_, n) => `many${n}@example.com`);
    await sendRaw(shared, "Message-ID: <many@x>\r\n\r\nx", many);
    assert.equal((await shared.list({ query: "many1@" })).messages[0]?.to.length, 100);
  });

  it("names the port that is in use", async () => {
    const port = Number(new URL(shared.smtpUrl).port);
    const second = createMailCatcher({ database: shared.database, smtpPort: port, httpPort: 0, log: silent, clock: systemClock });
    afterTests(() => second.stop());
    await assert.rejects(second.start(), new RegExp(`EADDRINUSE.*${port}`));
    await second.stop();
  });
});

describe("the mailbox's pages", () => {
  it("NTF-11: list newest first, by page, recipient and text", async () => {
    const catcher = shared;
    await fetch(`${catcher.url}/api/v1/messages`, { method: "DELETE" });
    for (const [to, subject] of [
      ["ada@example.com", "first 100%"],
      ["bob@example.com", "second"],
      ["ada@example.com", "third"],
    ] as const)
      await mailer.send(mail({ to, subject }));
    const subjects = async (params: Record<string, string>) => (await catcher.list(params)).messages.map(({ subject }) => subject);
    assert.deepEqual(await subjects({}), ["third", "second", "first 100%"]);
    assert.deepEqual(await subjects({ to: "ADA@example.com" }), ["third", "first 100%"]);
    assert.deepEqual(await subjects({ to: "da@example.com" }), []);
    assert.deepEqual(await subjects({ query: "0%" }), ["first 100%"]);
    assert.deepEqual(await subjects({ query: "BOB@" }), ["second"]);
    assert.deepEqual(await subjects({ query: "_" }), []);
    const page = await catcher.list({ limit: "2", total: "true" });
    assert.deepEqual([page.messages.length, page.total], [2, 3]);
    const oldest = String(page.messages[1]?.position);
    assert.deepEqual(await subjects({ before: oldest }), ["first 100%"]);
    assert.deepEqual(await subjects({ after: oldest }), ["third"]);
    assert.equal((await fetch(`${catcher.url}/api/v1/messages?limit=x`)).status, 400);
    assert.equal((await fetch(`${catcher.url}/api/v1/messages?to=a%00b`)).status, 400);
    assert.equal((await fetch(`${catcher.url}/api/v1/messages?query=%00`)).status, 400);
    const deleted = await fetch(`${catcher.url}/api/v1/messages`, { method: "DELETE" });
    assert.deepEqual(await deleted.json(), { deleted: 3 });
    assert.deepEqual(await subjects({}), []);
  });

  it("with waitMs the response waits for the mail", async () => {
    const sent = mail();
    const other = mail();
    const waiting = shared.list({ to: sent.to, waitMs: "20000" });
    await mailer.send(other);
    await mailer.send(sent);
    assert.deepEqual(
      (await waiting).messages.map(({ id }) => id),
      [`${sent.id}@kontor`],
    );
    assert.deepEqual((await shared.list({ to: "nobody@example.com", waitMs: "20" })).messages, []);
  });

  it("stopping ends requests that wait", async () => {
    const asked = Promise.withResolvers<void>();
    const catcher = await shared.again((database) => ({
      ...database,
      name: database.name,
      rows: (query) => {
        asked.resolve();
        return database.rows(query);
      },
    }));
    const waiting = catcher.list({ to: "nobody@example.com", waitMs: "20000" });
    await asked.promise;
    await catcher.catcher.stop();
    assert.deepEqual((await waiting).messages, []);
  });

  it("one mail: parsed, its HTML, its source", async () => {
    const sent = mail({
      subject: "Ünï",
      text: "a\nb ü",
      html: "<html><head><title>x</title></head><body><a href='https://x.test/1'>pay</a></body></html>",
    });
    await mailer.send(sent);
    const parsed = await shared.message(`${sent.id}@kontor`);
    assert.deepEqual(
      [parsed["messageId"], parsed["subject"], parsed["from"], parsed["to"], String(parsed["text"]).trimEnd(), parsed["html"]],
      [
        `<${sent.id}@kontor>`,
        "Ünï",
        { name: "Kontor", address: "shop@kontor.test" },
        [{ name: "", address: sent.to }],
        "a\nb ü",
        sent.html,
      ],
    );
    assert.ok((parsed["headers"] as { name: string }[]).some(({ name }) => name === "Auto-Submitted"));
    const path = `${shared.url}/api/v1/messages/${encodeURIComponent(`<${sent.id}@kontor>`)}`;
    const html = await fetch(`${path}/html`);
    assert.match(await html.text(), /<head><base target="_blank"><title>x<\/title>/);
    const source = await fetch(`${path}/raw`);
    assert.equal(source.headers.get("content-type"), "text/plain; charset=utf-8");
    assert.match(await source.text(), new RegExp(`^Message-ID: <${sent.id}@kontor>\r\n`));
    for (const missing of [
      "/api/v1/messages/none",
      "/api/v1/messages/%ff",
      "/api/v1/messages/%00",
      "/elsewhere",
      "/mailbox.js/../../mail.ts",
    ])
      assert.equal((await fetch(`${shared.url}${missing}`)).status, 404, missing);
  });

  it("S15: a mail's HTML runs no script and loads nothing; the page cannot be framed", async () => {
    const sent = mail({ html: "<script>alert(1)</script>" });
    await mailer.send(sent);
    const html = await fetch(`${shared.url}/api/v1/messages/${sent.id}%40kontor/html`);
    const policy = html.headers.get("content-security-policy") ?? "";
    assert.match(policy, /^sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'/);
    assert.equal(policy.includes("script"), false);
    const page = await fetch(shared.url);
    assert.match(page.headers.get("content-security-policy") ?? "", /script-src 'self';.*frame-ancestors 'none'/);
    assert.equal(page.headers.get("x-content-type-options"), "nosniff");
    assert.match(await page.text(), /<title>Mailbox<\/title>/);
    assert.equal((await fetch(`${shared.url}/mailbox.js`)).headers.get("content-type"), "text/javascript; charset=utf-8");
  });

  it("S26: serves only its own host name and its own methods", async () => {
    const status = (host: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        request(`${shared.url}/api/v1/messages`, { headers: { host } }, (response) => {
          response.resume();
          resolve(response.statusCode);
        })
          .on("error", reject)
          .end();
      });
    assert.equal(await status("evil.example"), 403);
    assert.equal(await status("evil.example:80"), 403);
    assert.equal(await status("localhost:1"), 200);
    assert.equal(await status("[::1]:1"), 200);
    assert.equal((await fetch(`${shared.url}/api/v1/messages`, { method: "POST", body: "x" })).status, 405);
    assert.equal((await fetch(shared.url, { method: "HEAD" })).status, 200);
  });
});
