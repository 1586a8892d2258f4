import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sql } from "@kontor/platform/database/sql.ts";
import { listTasks } from "@kontor/platform/tasks/admin.ts";
import { openNotifications } from "./test-notifications.ts";

describe("notifications: accounts", { concurrency: 4 }, () => {
  it("ID-01: to the owner of an address that somebody tries to register goes a link, and no code", async () => {
    const { customer, registerTaken, settle, mails, list } = await openNotifications();
    const ann = customer();
    await registerTaken(ann.id);
    await settle();
    assert.deepEqual(
      mails.map(({ to, subject }) => [to, subject]),
      [[ann.email, "You have an account at Test Shop"]],
    );
    assert.match(mails[0]!.text, /^Hello Canary.*Somebody tried to register.*http:\/\/shop\.test\/password\/reset\/token-of-vrf_\d+$/ms);
    assert.doesNotMatch(mails[0]!.text, /[0-9A-Z]{5}-[0-9A-Z]{5}/);
    assert.deepEqual((await list(ann.id)).items, [], "it is about the registration, which is not the owner's");
  });

  it("S10: a link to another password leads to the configured address, and what is not to be sent any more leaves nothing behind", async () => {
    const { customer, registerTaken, resetPassword, settle, mails, rows, hosted, dump } = await openNotifications();
    const ann = customer();
    await resetPassword(ann.id);
    await resetPassword();
    await registerTaken();
    await settle();
    assert.deepEqual(
      mails.map(({ to, subject }) => [to, subject]),
      [[ann.email, "Your password for Test Shop"]],
    );
    assert.match(mails[0]!.text, /http:\/\/shop\.test\/password\/reset\/token-of-rst_\d+\n/);
    assert.equal((await rows()).length, 1);
    for (const state of ["waiting", "dead"] as const)
      assert.deepEqual(await listTasks(hosted.database, { state, queue: "send-identity-mail" }), []);
    assert.doesNotMatch(await dump(), /token-of|canary/i);
  });

  it("DAT-07, ID-01: the version before is asked for no mail that it cannot write, and its registrations get theirs", async () => {
    const { customer, register, registerBefore, resetPassword, settle, pass, mail, mails, hosted } = await openNotifications();
    const [ann, bo] = [customer(), customer()];
    mail.failing = new Error("no mail server");
    await register(ann.id);
    await resetPassword(ann.id);
    await registerBefore(bo.id);
    await settle();
    const queues = sql`select queue, count(*)::int as count from tasks where queue like 'send%' group by queue order by queue`;
    assert.deepEqual(await hosted.database.rows(queues), [
      { queue: "send-identity-mail", count: 2 },
      { queue: "send-notification", count: 1 },
    ]);
    const applied = await hosted.database.rows(
      sql`select name from subscriptions where applied > 0 and name like 'notifications.identity%' order by name`,
    );
    assert.deepEqual(applied, [{ name: "notifications.identity" }, { name: "notifications.identity-mails" }]);
    mail.failing = undefined;
    await pass(10_000);
    assert.deepEqual(mails.map(({ to }) => to).toSorted(), [ann.email, ann.email, bo.email]);
  });
});
