import assert from "node:assert/strict";
import { it } from "node:test";
import { systemClock } from "../../clock/clock.ts";
import { sql } from "../../database/sql.ts";
import { openTestInstallation, silentLog } from "../open-test-installation.ts";
import { quick, recording } from "../test-subscriptions.ts";
import { createWakeups } from "../wakeups.ts";
import { createSubscriptions } from "./subscriptions.ts";

it("R10: reads and dead letters that get no response do not hold up the stop of subscriptions", async () => {
  const { rpc, subscriber } = await (await openTestInstallation()).process();
  const [reading, announcing] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const never = new Promise<never>(() => undefined);
  const called = ({ resolve }: PromiseWithResolvers<void>) => {
    resolve();
    return never;
  };
  const subscriptions = createSubscriptions({
    service: "watchers",
    subscriptions: [recording("watch")],
    database: subscriber,
    clients: rpc.clientsFor("watchers"),
    wakeups: createWakeups({ log: silentLog }),
    clock: systemClock,
    log: silentLog,
    options: quick,
    transport: {
      source: () => ({ read: () => called(reading) }),
      listen: () => () => undefined,
      logProgress: () => never,
      announce: () => called(announcing),
    },
  });
  await subscriber.run(sql`insert into subscriptions (name, publisher) values ('watch', 'things')`);
  await subscriber.run(sql`
    insert into parked_events (subscription, stream, epoch, xid, position, id, version, type, data, actor, trace, correlation, causation, at,
      cause, attempts)
    values ('watch', 'a', 1, '1', 1, 'evt_1', 1, 'test.thing.counted', '', '', '', '', '', now(), 'Error', 1)`);
  await subscriptions.start();
  await Promise.all([reading.promise, announcing.promise]);
  const stoppedMs = performance.now();
  await subscriptions.stop();
  assert.ok(performance.now() - stoppedMs < 3_000);
});
