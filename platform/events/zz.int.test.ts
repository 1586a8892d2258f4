import { readFile } from "node:fs/promises";
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ManualClock } from "../clock/clock.ts";
import { createBudget } from "../database/budget.ts";
import { openDatabase } from "../database/postgres.ts";
import { createIds } from "../ids/ids.ts";
import { createInProcessRpc } from "../rpc/in-process.ts";
import type { Rpc } from "../rpc/rpc.ts";
import type { Logger } from "../telemetry/logger.ts";
import { afterTests, testDatabase } from "../testing/postgres.ts";
import { createEventLog } from "./event-log.ts";
import { append, eventsContract, recording } from "./zz.contract.ts";
import type { EventsHouse, EventsProcess } from "./zz.contract.ts";
import { createSubscriptions } from "./subscriptions.ts";
import { testRegistry } from "./test-events.ts";
import { createWakeups } from "./wakeups.ts";

const silent = () => undefined;
const log: Logger = { debug: silent, info: silent, warn: silent, error: silent, child: () => log };
const migration = await readFile(new URL("migrations/0001-events.sql", import.meta.url), "utf8");
const effects = `create table effects (
  nth bigint generated always as identity, subscription text not null, event text not null, stream text not null, version int not null)`;

interface Process extends EventsProcess {
  readonly rpc: Rpc;
}

interface House extends EventsHouse {
  /** A process that reaches the service "things" through `rpc` only, and hears none of its signals. */
  processBeyond(rpc: Rpc): Promise<Process>;
  process(): Promise<Process>;
}

async function openHouse(): Promise<House> {
  const clock = new ManualClock(new Date("2026-03-01T09:00:00Z"));
  const endings: (() => Promise<void>)[] = [];
  const databases = { things: await testDatabase(), watchers: await testDatabase() };
  afterTests(async () => {
    for (const end of endings.toReversed()) await end();
  });
  const open = (name: keyof typeof databases) => {
    const database = openDatabase({
      name,
      connection: databases[name].connection,
      budget: createBudget({ connections: 10, background: 4 }),
      log,
    });
    endings.push(() => database.stop());
    return database;
  };
  await open("things").maintenance((tx) => tx.script(migration));
  await open("watchers").maintenance((tx) => tx.script(`${migration}; ${effects}`));

  async function start(beyond?: Rpc): Promise<Process> {
    const [publisher, subscriber] = [open("things"), open("watchers")];
    const wakeups = createWakeups({ log });
    const rpc = beyond ?? createInProcessRpc({ log, freeze: true });
    const events = createEventLog({
      service: "things",
      database: publisher,
      clock,
      ids: createIds(clock),
      registry: testRegistry,
      wakeups,
      log,
    });
    if (beyond === undefined) {
      await events.start();
      rpc.serve("things", [events.route]);
      endings.push(() => events.stop());
    }
    return {
      publisher,
      log: events,
      subscriber,
      rpc,
      async subscribe(subscriptions, options = {}) {
        const clients = rpc.clientsFor("watchers");
        const watching = createSubscriptions({
          service: "watchers",
          subscriptions,
          database: subscriber,
          clients,
          wakeups,
          clock,
          log,
          options,
        });
        endings.push(() => watching.stop());
        await watching.start();
        return watching;
      },
    };
  }
  return { clock, process: () => start(), processBeyond: start };
}

eventsContract("embedded", openHouse, { crashes: Number(process.env["KONTOR_EVENT_CRASHES"] ?? 20) });

describe("events: embedded, the publisher in another process", () => {
  it("wakes by asking the publisher's log, which answers when there is something", async () => {
    const house = await openHouse();
    const shop = await house.process();
    const far = await house.processBeyond(shop.rpc);
    const watching = await far.subscribe([recording("watch")], { pollMs: 600_000 });
    for (let version = 0; version < 3; version++) {
      await append(shop.publisher, shop.log, "a", version, 1);
      const passed = performance.now();
      while ((await watching.status())[0]?.applied !== version + 1) assert.ok(performance.now() - passed < 30_000);
    }
  });
});
