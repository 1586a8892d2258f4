import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { silent } from "@kontor/platform/mail/open-test-catcher.ts";
import { notificationFacts } from "./facts.ts";
import { openNotifications } from "./test-notifications.ts";

describe("notifications: facts", () => {
  it("say which confirmations are recorded, by which mail each was sent, and which are still to be", async () => {
    const app = await openNotifications({ log: silent });
    const facts = notificationFacts.from(app.hosted.database);
    const order = app.order(app.customer().id);
    app.mail.failing = new Error("the mail server fails");
    await app.paid(order);
    await app.settle();
    const [waiting] = await facts.confirmations("", 10);
    assert.deepEqual([waiting?.order, waiting?.mail, waiting?.sentAt], [order.id, null, null]);
    const { log, database } = app.services.get("orders")!;
    const event = (await log.history(database, order.id))[0]!.id;
    assert.deepEqual([...(await facts.toBeSent([event, "evt_none"]))], [event]);
    app.mail.failing = undefined;
    await app.pass(3_600_000);
    const [sent] = await facts.confirmations("", 10);
    assert.deepEqual([sent?.mail, sent?.sentAt], [app.mails[0]?.id, app.clock.now()]);
    assert.deepEqual((await facts.toBeSent([event])).size, 0);
    assert.deepEqual(await facts.confirmations(sent!.id, 10), []);
  });
});
