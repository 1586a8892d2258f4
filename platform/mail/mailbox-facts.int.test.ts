import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sql } from "../database/sql.ts";
import { mailboxFacts } from "./mailbox-facts.ts";
import { openTestCatcher, openTestMailer } from "./open-test-catcher.ts";

describe("mailbox: facts", () => {
  it("say which mails are stored, and since when", async () => {
    const catcher = await openTestCatcher();
    const mailer = openTestMailer({ url: catcher.smtpUrl });
    const facts = mailboxFacts.from(catcher.database);
    assert.equal(await facts.storedSince(), undefined);
    for (const id of ["tsk_1", "tsk_2"])
      await mailer.send({ id, from: "shop@shop.test", to: "ada@shop.test", subject: "Hello", text: "Hello", html: "<p>Hello</p>" });
    assert.deepEqual([...(await facts.stored(["tsk_2@kontor", "tsk_3@kontor"]))], ["tsk_2@kontor"]);
    assert.equal(await facts.storedSince(), undefined);
    await catcher.database.run(sql`delete from mails where message_id = 'tsk_1@kontor'`);
    const { at } = await catcher.database.one<{ at: Date }>(sql`select received_at as at from mails`);
    assert.deepEqual(await facts.storedSince(), at);
    await catcher.database.run(sql`delete from mails`);
    assert.ok((await facts.storedSince())! > new Date("9999-12-31"));
  });
});
