import assert from "node:assert/strict";
import { it } from "node:test";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { ManualClock } from "../clock/clock.ts";
import { createIds } from "../ids/ids.ts";
import type { Logger } from "../telemetry/logger.ts";
import { afterTests, openTestDatabase } from "../testing/postgres.ts";
import { taskMigrations } from "./embedded.ts";
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
