import { readFile } from "node:fs/promises";
import { EventLogService } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import type { Event, Position } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import { rootCall } from "../../call/call.ts";
import type { Call } from "../../call/call.ts";
import { ManualClock } from "../../clock/clock.ts";
import { createConnectionBudget } from "../../database/connection-budget.ts";
import type { Database, Transaction } from "../../database/database.ts";
import { openDatabase } from "../../database/postgres.ts";
import { createIds } from "../../ids/ids.ts";
import { createInProcessRpc } from "../../rpc/in-process.ts";
import type { Client } from "../../rpc/rpc.ts";
import { afterTests, testDatabase } from "../../testing/postgres.ts";
import { silentLog } from "../open-test-installation.ts";
import { comparePositions } from "../position.ts";
import { counted, testRegistry } from "../test-events.ts";
import { createWakeups } from "../wakeups.ts";
import { createEventLog } from "./event-log.ts";
import type { HostedEventLog } from "./event-log.ts";

/** The call under which events are appended. */
export const call = rootCall({
  caller: "things",
  user: { id: "usr_1", session: "ses_1", roles: [], verified: true },
  timeoutMs: 120_000,
});

/** A call of a subscriber. */
export const reading = (): Call => rootCall({ caller: "watchers", timeoutMs: 30_000 });

export interface TestLog {
  readonly database: Database;
  readonly log: HostedEventLog;
  readonly reader: Client<typeof EventLogService>;
  /** Opens the log once more, as another process or a restart does. */
  open(): Promise<Pick<TestLog, "log" | "reader">>;
  append(tx: Transaction, stream: string, expectedVersion: number, ...amounts: number[]): Promise<void>;
  /** A stream name that no other test of the file uses. */
  newStream(): string;
  head(): Promise<Position>;
  /** All events after a position, page by page, until everything committed at the call has been read. */
  readAll(request: { after?: Position; types?: string[]; limit?: number }): Promise<Event[]>;
}

/** The event log of the service "things" in a database of its own, which also has a table "things". Stopped after the tests. */
export async function openTestLog(): Promise<TestLog> {
  const { connection } = await testDatabase();
  const database = openDatabase({
    name: "things",
    connection,
    budget: createConnectionBudget({ connections: 40, background: 4 }),
    log: silentLog,
  });
  const endings: (() => Promise<void>)[] = [() => database.stop()];
  afterTests(async () => {
    for (const end of endings.toReversed()) await end();
  });
  const migration = await readFile(new URL("../migrations/0001-events.sql", import.meta.url), "utf8");
  await database.maintenance((tx) => tx.script(`${migration}; create table things (id text primary key, amount int not null)`));

  async function open(): Promise<Pick<TestLog, "log" | "reader">> {
    const clock = new ManualClock(new Date("2026-03-01T09:00:00Z"));
    const wakeups = createWakeups({ log: silentLog });
    const log = createEventLog({
      service: "things",
      database,
      clock,
      ids: createIds(clock),
      registry: testRegistry,
      wakeups,
      log: silentLog,
    });
    await log.start();
    endings.push(() => log.stop());
    const rpc = createInProcessRpc({ log: silentLog, freeze: true });
    rpc.serve("things", [log.route]);
    return { log, reader: rpc.clientsFor("watchers").of("things", EventLogService) };
  }

  const { log, reader } = await open();
  let streams = 0;
  const head = async () => (await reader.readEvents({ limit: 1 }, reading())).head!;
  return {
    database,
    log,
    reader,
    open,
    append: (tx, stream, expectedVersion, ...amounts) => log.append(tx, call, [{ stream, expectedVersion, events: amounts.map(counted) }]),
    newStream: () => `s${++streams}`,
    head,
    async readAll(request) {
      const all: Event[] = [];
      const until = await head();
      let after = request.after;
      for (;;) {
        const { events, next } = await reader.readEvents({ limit: 100, ...request, ...(after && { after }) }, reading());
        all.push(...events);
        after = next!;
        if (comparePositions(after, until) >= 0) return all;
      }
    },
  };
}
