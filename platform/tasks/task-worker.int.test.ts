import assert from "node:assert/strict";
import { it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { rootCall } from "../call/call.ts";
import { ManualClock } from "../clock/clock.ts";
import { sql } from "../database/sql.ts";
import { createIds } from "../ids/ids.ts";
import type { Logger } from "../telemetry/logger.ts";
import { afterTests, openTestDatabase } from "../testing/postgres.ts";
import { createTasks, taskMigrations } from "./embedded.ts";
import { taskChannel } from "./task-wakeups.ts";
import { createEngine } from "./tasks-engine.ts";
import { queue } from "./tasks.ts";

const quiet: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined, child: () => quiet };

it("R11: a task that becomes due while there is no room causes no polling, and is claimed when there is room", async () => {
  const database = await openTestDatabase({ migrations: [taskMigrations] });
  const clock = new ManualClock(new Date());
  const dueAt = new Date(clock.now().getTime() + 60_000);
  const looks = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let [room, polls, looked] = [1, 0, 0];
  let capacityFreed = (): void => undefined;
  const engine = createEngine(
    {
      service: "orders",
      database,
      clock,
      ids: createIds(clock),
      log: quiet,
      queues: [queue({ name: "mail", schema: StringValueSchema, run: async () => undefined })],
    },
    (parts) => {
      ({ capacityFreed } = parts);
      return {
        dispatch: {
          roomFor: () => {
            polls++;
            return room;
          },
          dispatch: async () => {
            room = 0;
            looks[looked++]?.resolve();
            return { found: new Map(), nextDue: dueAt };
          },
        },
      };
    },
  );
  afterTests(() => engine.stop());
  await engine.start();
  await looks[0]!.promise;
  clock.set(dueAt);
  // Longer than the pause after a look. A worker that went round all the time would let no timer through.
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert(polls < 20, `polled ${polls} times`);
  assert.equal(looked, 1);
  room = 1;
  capacityFreed();
  await looks[1]!.promise;
});

it("notifies other processes of tasks that it does not take itself, and of no others", async () => {
  const database = await openTestDatabase({ migrations: [taskMigrations] });
  const clock = new ManualClock(new Date());
  const released = Promise.withResolvers<void>();
  const mail = queue({ name: "mail", schema: StringValueSchema, concurrency: 2, run: () => released.promise });
  const tasks = createTasks({ service: "orders", database, clock, ids: createIds(clock), log: quiet, queues: [mail] });
  afterTests(() => tasks.stop());
  let notifications = 0;
  let notified = Promise.withResolvers<void>();
  await database.listen(taskChannel, () => {
    notifications++;
    notified.resolve();
  });
  await tasks.start();
  await tasks.idle();
  let added = 0;
  const add = (count: number) =>
    database.transaction((tx) => {
      const rows = Array.from({ length: count }, () => ({ queue: "mail", key: String(added++), payload: create(StringValueSchema) }));
      return tasks.add(tx, rootCall({ caller: "orders", timeoutMs: 5_000 }), rows);
    });
  const running = async () => {
    for (;;) {
      const { count } = await database.one<{ count: number }>(sql`select count(*)::int as count from tasks where lease_until is not null`);
      if (count === added) return;
    }
  };
  await add(1);
  await running();
  assert.equal(notifications, 0);
  // One of them finds a place, and the claim that fills the last one tells the others that there may be more.
  await add(1);
  await running();
  await notified.promise;
  notified = Promise.withResolvers();
  const before = notifications;
  await add(1);
  await notified.promise;
  assert.equal(notifications, before + 1);
  released.resolve();
  await tasks.idle();
});
