import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import PostalMime from "postal-mime";
import { Refusal } from "../errors/refusal.ts";
import { composeMail } from "./compose-mail.ts";
import type { Mail } from "./mail.ts";

const at = new Date("2026-03-01T10:00:00Z");
const mail: Mail = {
  id: "tsk_1",
  from: "Kontor <shop@kontor.test>",
  to: "ada@example.com",
  subject: "Your order",
  text: "Hello\nAda",
  html: "<p>Hello</p>",
};
const compose = (change: Partial<Mail> = {}) => composeMail({ ...mail, ...change }, at);
const parse = (change: Partial<Mail> = {}) => PostalMime.parse(compose(change).raw);
const plain = (text: string | undefined) => text?.replace(/\r?\n/g, "\n").trimEnd();

describe("composeMail", () => {
  it("writes an ASCII mail readably", () => {
    const { from, to, raw } = compose();
    assert.deepEqual([from, to], ["shop@kontor.test", "ada@example.com"]);
    assert.equal(
      raw.toString(),
      [
        "Message-ID: <tsk_1@kontor>",
        "Date: Sun, 01 Mar 2026 10:00:00 +0000",
        'From: "Kontor" <shop@kontor.test>',
        "To: ada@example.com",
        "Subject: Your order",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        'Content-Type: multipart/alternative; boundary="=_tsk_1"',
        "",
        "--=_tsk_1",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 7bit",
        "",
        "Hello",
        "Ada",
        "--=_tsk_1",
        "Content-Type: text/html; charset=utf-8",
        "Content-Transfer-Encoding: 7bit",
        "",
        "<p>Hello</p>",
        "--=_tsk_1--",
        "",
      ].join("\r\n"),
    );
  });

  it("carries any subject, name, text and HTML", async () => {
    const words = fc.string({ unit: "grapheme", maxLength: 300 }).map((text) => text.replace(/[\p{Cc}\u2028\u2029]/gu, ""));
    await fc.assert(
      fc.asyncProperty(words, words, fc.string({ unit: "binary", maxLength: 2_000 }), async (subject, name, body) => {
        const shown = name.replace(/["<>]/g, "").trim();
        const text = body.replaceAll("\u0000", "").replace(/\r\n?/g, "\n").toWellFormed();
        const email = await parse({ subject, from: `"${shown}" <shop@kontor.test>`, text, html: `<p>${text}</p>` });
        assert.equal((email.subject ?? "").trim(), subject.trim());
        assert.equal(email.from?.name, shown);
        assert.equal(plain(email.text), plain(text));
        assert.equal(plain(email.html), plain(`<p>${text}</p>`));
      }),
      { numRuns: 100 },
    );
  });

  it("keeps lines and encoded words within their limits", () => {
    const { raw } = compose({ subject: "Bestätigung – 確認 🎉 ".repeat(20), text: `${"x".repeat(5_000)} ü`, html: "y".repeat(5_000) });
    for (const line of raw.toString("latin1").split("\r\n")) assert.ok(line.length <= 78, line);
    assert.equal(/[^\r]\n|\r[^\n]/.test(raw.toString("latin1")), false);
  });

  it("sends text as it is unless a line is too long for some servers", () => {
    const encodingOf = (text: string) => /text\/plain[^\0]*?Transfer-Encoding: (\S+)/.exec(compose({ text }).raw.toString("latin1"))?.[1];
    const long = "x".repeat(989);
    for (const text of ["", long, `\n${long}\n`, `${long}\n${long}`, "short\n".repeat(1_000)]) assert.equal(encodingOf(text), "7bit");
    for (const text of [`${long}y`, `${long}y\n`, `\n\n${long}y`, `short\n${long}y\nshort`, "a\rb"])
      assert.equal(encodingOf(text), "base64");
  });

  it("is not fooled by contents that look like a boundary or an encoded word", async () => {
    const email = await parse({ subject: "=?UTF-8?B?aGk=?=", text: "a\n--=_tsk_1\nContent-Type: text/html\n\nb", html: "--=_tsk_1--" });
    assert.equal(email.subject, "=?UTF-8?B?aGk=?=");
    assert.equal(plain(email.text), "a\n--=_tsk_1\nContent-Type: text/html\n\nb");
    assert.equal(email.html?.trim(), "--=_tsk_1--");
  });

  it("S15: refuses what could add a header, a recipient or a command", () => {
    const hostile: Partial<Mail>[] = [
      { subject: "hi\r\nBcc: eve@example.com" },
      { subject: "hi\nBcc: eve@example.com" },
      { subject: "hi\u0000" },
      { to: "ada@example.com\r\nBcc: eve@example.com" },
      { to: "ada@example.com, eve@example.com" },
      { to: "ada@example.com>\r\nRCPT TO:<eve@example.com" },
      { to: "<ada@example.com> eve@example.com" },
      { to: '"a b"@example.com' },
      { to: "ada" },
      { to: "ada@" },
      { to: "ada@exa mple.com" },
      { to: "" },
      { from: "Kontor\r\nX: y <shop@kontor.test>" },
      { from: 'Kontor" <eve@example.com>, "x <shop@kontor.test>' },
    ];
    for (const change of hostile)
      assert.throws(
        () => compose(change),
        (error) => error instanceof Refusal && error.reason === "MAIL_INVALID" && error.code === "invalid_argument",
        JSON.stringify(change),
      );
    assert.throws(() => compose({ id: "a>\r\nb" }), /a mail's id/);
  });

  it("writes international domains in ASCII", () => {
    assert.equal(compose({ to: "ada@bücher.example" }).to, "ada@xn--bcher-kva.example");
  });
});
