import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { refusalIn } from "../errors/refusal.ts";
import { insideTransaction } from "../database/in-transaction.ts";
import type { Mail, Mailer } from "./mail.ts";

/** A mail as its recipient has it. */
export interface ReceivedMail {
  readonly messageId: string;
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

export interface MailEngine {
  readonly mailer: Mailer;
  /** The mails that have arrived for the recipient. */
  inbox(to: string): Promise<readonly ReceivedMail[]>;
}

/** Suite that every mailer passes: a mail that `send` has accepted arrives at the recipient, as it was written. */
export function mailContract(name: string, open: () => Promise<MailEngine>): void {
  let made = 0;
  const mail = (change: Partial<Mail> = {}): Mail => {
    const id = `tsk_contract${++made}`;
    const defaults = {
      from: "Kontor <shop@kontor.test>",
      to: `${id}@example.com`,
      subject: "Your order",
      text: "Thanks",
      html: "<p>Thanks</p>",
    };
    return { id, ...defaults, ...change };
  };

  describe(`mail: ${name}`, () => {
    it("NTF-01: a sent mail arrives at its recipient, with its id", async () => {
      const { mailer, inbox } = await open();
      const sent = mail();
      await mailer.send(sent);
      const [received, ...others] = await inbox(sent.to);
      assert.equal(others.length, 0);
      assert.equal(received?.messageId, `<${sent.id}@kontor>`);
      assert.deepEqual([received?.subject, received?.text.trim(), received?.html.trim()], ["Your order", "Thanks", "<p>Thanks</p>"]);
    });

    it("subjects, texts and HTML arrive as they were written", async () => {
      const { mailer, inbox } = await open();
      const text = ".\n..\nGrüße, 注文 🎉\n.end\n";
      const sent = mail({
        subject: "Bestätigung – 確認 🎉 – your order is on its way",
        text,
        html: `<p>${text}</p>`,
        from: "Jürgen’s <a@b.test>",
      });
      await mailer.send(sent);
      const [received] = await inbox(sent.to);
      assert.deepEqual([received?.subject, received?.text.trimEnd(), received?.html.trim()], [sent.subject, text.trimEnd(), sent.html]);
    });

    it("many at once arrive once each", async () => {
      const { mailer, inbox } = await open();
      const to = mail().to;
      const sent = Array.from({ length: 300 }, () => mail({ to }));
      await Promise.all(sent.map((one) => mailer.send(one)));
      assert.deepEqual((await inbox(to)).map(({ messageId }) => messageId).sort(), sent.map(({ id }) => `<${id}@kontor>`).sort());
    });

    it("refuses a mail that could have several recipients or headers, and continues to work", async () => {
      const { mailer, inbox } = await open();
      const wrong = { to: "a@example.com,b@example.com" };
      await assert.rejects(mailer.send(mail(wrong)), (error) => refusalIn(error)?.reason === "MAIL_INVALID");
      await assert.rejects(mailer.send(mail({ subject: "a\r\nBcc: b@c.test" })), (error) => refusalIn(error)?.reason === "MAIL_INVALID");
      const sent = mail();
      await mailer.send(sent);
      assert.equal((await inbox(sent.to)).length, 1);
    });

    it("refuses to send while a transaction is open", async () => {
      const { mailer } = await open();
      await assert.rejects(
        insideTransaction("orders", () => mailer.send(mail())),
        /while a transaction of orders is open/,
      );
    });
  });
}
