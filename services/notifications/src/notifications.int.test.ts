import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { NotificationKind, NotificationStatus } from "@kontor/contracts/gen/kontor/notifications/v1/notifications_pb.js";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import { refusalIn, refuse } from "@kontor/platform/errors/refusal.ts";
import { resetSubscription } from "@kontor/platform/events/subscriptions/reset-subscription.ts";
import { listTasks, replayTask } from "@kontor/platform/tasks/admin.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { openNotifications } from "./test-notifications.ts";

const hourMs = 3_600_000;

describe("notifications", { concurrency: 4 }, () => {
  it("NTF-02, NTF-03, NTF-04, NTF-05: each event is one mail, of its kind, to its customer", async () => {
    const { customer, order, orders, settle, mails, paid, reminded, cancelled, fulfilled, refunded, rows, pass } =
      await openNotifications();
    const [ann, bo] = [customer(), customer()];
    const [first, second] = [order(ann.id), order(bo.id)];
    await reminded(first, 4);
    await settle();
    await pass(8 * hourMs);
    await reminded(first, 12);
    await settle();
    orders.set(first.id, { ...first, status: OrderStatus.PAID });
    await paid(first);
    await fulfilled(first);
    orders.set(second.id, {
      ...second,
      status: OrderStatus.CANCELLED,
      history: [...second.history, { ...second.history[0]!, status: OrderStatus.CANCELLED, cause: "EXPIRED" }],
    });
    await cancelled(second);
    await refunded(first, "9.99");
    await settle();
    assert.deepEqual(
      mails.map(({ to, subject }) => `${to}: ${subject}`).toSorted(),
      [
        `${ann.email}: 9.99 EUR are on their way back to you`,
        `${ann.email}: Your order ${first.id} is on its way`,
        `${ann.email}: Your order ${first.id} is paid`,
        `${ann.email}: Your order ${first.id} waits for its payment`,
        `${ann.email}: Your order ${first.id} waits for its payment`,
        `${bo.email}: Your order ${second.id} is cancelled`,
      ].toSorted(),
    );
    const reminder = mails.find(({ subject }) => subject.includes("waits"))!;
    for (const fact of [first.id, "19.99 EUR", "2026-03-03 09:00 UTC", "https://shop.example/pay/"])
      assert.ok(reminder.text.includes(fact), fact);
    assert.ok(mails.every(({ from }) => from === "shop@shop.test"));
    // I7: what is recorded names its mail.
    assert.deepEqual(new Set((await rows()).map(({ task }) => task)), new Set(mails.map(({ id }) => id)));
  });

  it("NTF-01, ID-07: one registration is one mail, also when its event is delivered again, at once or days later", async () => {
    const { customer, register, settle, pass, mails, hosted, rows } = await openNotifications();
    const ann = customer();
    await register(ann.id);
    await settle();
    assert.equal(mails.length, 1);
    assert.deepEqual([mails[0]?.to, mails[0]?.subject], [ann.email, "Your code for Test Shop"]);
    assert.match(mails[0]!.text, /CODE\d+-ABCDE/);
    const again = async () => {
      await resetSubscription(hosted.database, "notifications.identity-mails", async () => undefined);
      const applied = sql`select applied from subscriptions where name = 'notifications.identity-mails'`;
      while ((await hosted.database.one<{ applied: bigint }>(applied)).applied === 0n) await settle();
      await settle();
    };
    await again();
    // Past the time for which done tasks are remembered.
    await pass(25 * hourMs);
    await pass(2 * 60_000);
    assert.deepEqual(await hosted.database.one(sql`select count(*)::int as count from tasks where queue = 'send-identity-mail'`), {
      count: 0,
    });
    await again();
    await register(ann.id);
    await settle();
    assert.equal(new Set(mails.map(({ id }) => id)).size, 2);
    assert.equal(mails.length, 2);
    assert.equal((await rows()).length, 2);
    const { applied } = await hosted.database.one<{ applied: bigint }>(
      sql`select applied from subscriptions where name = 'notifications.identity-mails'`,
    );
    assert.equal(applied, 2n);
  });

  it("ORD-10, NTF-04: a reminder is not sent when its order has been paid meanwhile, and is not listed", async () => {
    const { customer, order, orders, reminded, settle, mails, list, hosted, rows } = await openNotifications();
    const ann = customer();
    const [unpaid, ...others] = Array.from({ length: 4 }, () => order(ann.id));
    for (const [at, status] of [OrderStatus.PAID, OrderStatus.COMPLETED, OrderStatus.CANCELLED].entries())
      orders.set(others[at]!.id, { ...others[at]!, status });
    for (const one of [...others, unpaid!]) await reminded(one, 4);
    await settle();
    assert.deepEqual(
      mails.map(({ subject }) => subject),
      [`Your order ${unpaid!.id} waits for its payment`],
    );
    assert.deepEqual(
      (await list(ann.id)).items.map(({ subject, status }) => [subject, status]),
      [[unpaid!.id, NotificationStatus.SENT]],
    );
    assert.equal((await rows()).length, 1);
    for (const state of ["waiting", "dead"] as const)
      assert.deepEqual((await listTasks(hosted.database, { state, queue: "send-notification" })).length, 0);
  });

  it("NTF-10: with the mail server down it is tried at growing, jittered intervals, and then is a dead letter, which can be replayed", async () => {
    const alerts: unknown[] = [];
    const quiet = () => undefined;
    const log: Logger = {
      debug: quiet,
      info: quiet,
      warn: quiet,
      error: (fields) => alerts.push((fields as { alert?: string }).alert),
      child: () => log,
    };
    const { customer, order, paid, settle, clock, mails, mail, hosted, rows, list } = await openNotifications({ log });
    const ann = customer();
    const { id: subject, ...others } = order(ann.id);
    mail.failing = refuse({
      reason: "DEPENDENCY_UNAVAILABLE",
      code: "unavailable",
      message: "The mail server cannot be reached",
      cause: new Error(`no route for ${ann.email}`),
    });
    await paid({ id: subject, ...others });
    await settle();
    const delays: number[] = [];
    for (;;) {
      const [task] = await listTasks(hosted.database, { state: "waiting", queue: "send-notification" });
      if (task === undefined) break;
      assert.equal(task.attempts, delays.length + 1);
      assert.equal(task.cause, "DEPENDENCY_UNAVAILABLE: The mail server cannot be reached");
      delays.push(task.dueAt.getTime() - clock.now().getTime());
      clock.set(new Date(task.dueAt.getTime() - 1));
      await settle();
      assert.equal((await listTasks(hosted.database, { state: "waiting", queue: "send-notification" }))[0]?.attempts, delays.length);
      clock.advance(1);
      await settle();
    }
    assert.equal(delays.length, 19);
    for (const [at, delay] of delays.entries()) {
      const plain = Math.min(1_000 * 2 ** at, 600_000);
      assert.ok(delay >= plain * 0.8 && delay <= plain * 1.2, `pause ${at + 1} is ${delay} ms`);
    }
    assert.ok(
      delays.some((delay, at) => delay !== Math.min(1_000 * 2 ** at, 600_000)),
      "no jitter",
    );
    const [dead] = await listTasks(hosted.database, { state: "dead" });
    assert.ok(dead);
    assert.equal(dead.attempts, 20);
    assert.deepEqual(alerts, ["TASK_DEAD"]);
    assert.deepEqual(
      (await list(ann.id)).items.map(({ status }) => status),
      [NotificationStatus.QUEUED],
    );
    assert.equal(mails.length, 0);
    mail.failing = undefined;
    assert.equal(await replayTask(hosted.database, dead.id, clock.now()), true);
    await settle();
    assert.deepEqual(
      mails.map(({ id }) => id),
      [dead.id],
    );
    assert.deepEqual(
      (await rows()).map(({ task }) => task),
      [dead.id],
    );
  });

  it("MSG-07: a mail that fails twice goes out once", async () => {
    const { customer, register, settle, pass, mails, mail } = await openNotifications();
    mail.failing = new Error("connection reset");
    await register(customer().id);
    await settle();
    await pass(1_200);
    mail.failing = undefined;
    await pass(2_400);
    assert.equal(mails.length, 1);
    await pass(hourMs);
    assert.equal(mails.length, 1);
  });

  it("SEC-06: no table holds an address, a name, a title or a code, also when sending fails", async () => {
    const { customer, order, orders, register, paid, cancelled, fulfilled, reminded, settle, mails, mail, dump } =
      await openNotifications();
    const people = [customer(), customer()];
    const titles: string[] = [];
    for (const { id, email } of people) {
      const one = order(id);
      titles.push(one.lines[0]!.title);
      await register(id);
      await reminded(one, 4);
      await settle();
      orders.set(one.id, { ...one, status: OrderStatus.PAID });
      mail.failing = new Error(`550 <${email}> is not known here`);
      await paid(one);
      await settle();
      mail.failing = refuse({
        reason: "MAIL_REFUSED",
        code: "failed_precondition",
        message: "The mail server refuses the mail (550).",
        cause: new Error(email),
      });
      await fulfilled(one);
      await cancelled(one);
      await settle();
      mail.failing = undefined;
    }
    assert.equal(mails.length, 4);
    const held = (await dump()).toLowerCase();
    assert.ok(held.includes("ord_"));
    for (const personal of ["canary", "o'neil", "@shop.example", "secret title", "-abcde"])
      assert.equal(held.includes(personal), false, personal);
    // Not the seconds of a time.
    assert.doesNotMatch(held, /(?<!:)19\.99/);
  });

  it("ID-14: customers list their own messages only, newest first, page by page", async () => {
    const { customer, order, clock, settle, list, paid, mails } = await openNotifications();
    const [ann, bo] = [customer(), customer()];
    const expected: string[] = [];
    for (let minute = 0; minute < 3; minute++) {
      // Several at the same moment: one batch, one time.
      const batch = Array.from({ length: 4 }, () => order(ann.id));
      await paid(...batch, order(bo.id));
      await settle();
      expected.push(...batch.map(({ id }) => id));
      clock.advance(60_000);
    }
    const all = await list(ann.id, { limit: 100 });
    assert.equal(all.nextCursor, undefined);
    assert.deepEqual(all.items.map(({ subject }) => subject).toSorted(), expected.toSorted());
    const times = all.items.map(({ createdAt }) => Number(createdAt!.seconds));
    assert.deepEqual(
      times,
      times.toSorted((one, other) => other - one),
    );
    for (const { kind, status, channel, sentAt } of all.items)
      assert.deepEqual(
        [kind, status, channel, sentAt !== undefined],
        [NotificationKind.ORDER_CONFIRMATION, NotificationStatus.SENT, "email", true],
      );
    const paged: string[] = [];
    for (let cursor: string | undefined = ""; cursor !== undefined;) {
      const page: Awaited<ReturnType<typeof list>> = await list(ann.id, { limit: 5, cursor });
      paged.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor;
    }
    assert.deepEqual(
      paged,
      all.items.map(({ id }) => id),
    );
    assert.equal((await list(bo.id)).items.length, 3);
    const { nextCursor } = await list(ann.id, { limit: 1 });
    assert.equal(
      (await list(bo.id, { cursor: nextCursor! })).items.every(({ subject }) => !expected.includes(subject)),
      true,
    );
    assert.equal((await list("usr_nobody")).items.length, 0);
    assert.equal(mails.length, 15);
    for (const forged of [[1e300, "x"], [8.64e15, "x"], [-1, "x"], [null, "x"], [1, "\0"], [1], "x"]) {
      const cursor = Buffer.from(JSON.stringify(forged)).toString("base64url");
      await assert.rejects(list(ann.id, { cursor }), (error) => refusalIn(error)?.reason === "INVALID_CURSOR", JSON.stringify(forged));
    }
  });

  it("NTF-01: a burst of events is one mail each, and a deleted account does not affect others", async () => {
    const { customer, order, paid, settle, mails, hosted } = await openNotifications();
    const ann = customer();
    const all = Array.from({ length: 60 }, () => order(ann.id));
    await paid(...all.slice(0, 30), order("usr_gone"), ...all.slice(30));
    await settle();
    assert.deepEqual(new Set(mails.map(({ subject }) => subject)).size, 60);
    assert.equal(mails.length, 60);
    const [waiting] = await listTasks(hosted.database, { state: "waiting", queue: "send-notification" });
    assert.deepEqual([waiting?.attempts, waiting?.cause], [1, "NOT_FOUND: NOT_FOUND"]);
  });
});
