import assert from "node:assert/strict";
import { it } from "node:test";
import { sql } from "../../database/sql.ts";
import { append, applied, assertExactlyOnce, effectsOf, quick, recording } from "../test-subscriptions.ts";
import type { EventsInstallation } from "../test-subscriptions.ts";
import { resetSubscription } from "./reset-subscription.ts";

/** A subscription that is reset rebuilds what it has written from the log. */
export function resetContract(open: () => Promise<EventsInstallation>): void {
  it("CON-02, CON-03: a subscription that is reset rebuilds the same from the log", async () => {
    const { log, publisher, subscriber, subscribe } = await (await open()).process();
    const watching = await subscribe([recording("watch")], quick);
    for (let version = 0; version < 5; version++) await append(publisher, log, `s${version % 2}`, Math.floor(version / 2), 1);
    await watching.caughtUp();
    const before = await effectsOf(subscriber);
    await resetSubscription(subscriber, "watch", async (tx) => void (await tx.run(sql`truncate effects`)));
    await applied(subscriber, "watch", 5);
    assert.deepEqual(await effectsOf(subscriber), before);
    await assertExactlyOnce(publisher, subscriber, "watch");
  });

  it("CON-03: caughtUp after a reset waits until the subscription has caught up again, also when its processes have not been notified of the reset", async () => {
    const { log, publisher, subscriber, subscribe } = await (await open()).process();
    const watching = await subscribe([recording("watch")], quick);
    for (let version = 0; version < 5; version++) await append(publisher, log, `s${version % 2}`, Math.floor(version / 2), 1);
    await watching.caughtUp();
    // Without the notification of its processes.
    const unnotified = { transaction: subscriber.transaction.bind(subscriber), notify: async () => undefined };
    await resetSubscription(unnotified, "watch", async (tx) => void (await tx.run(sql`truncate effects`)));
    await watching.caughtUp();
    await assertExactlyOnce(publisher, subscriber, "watch");
  });
}
