import { readFile } from "node:fs/promises";
import { ManualClock, systemClock } from "../clock/clock.ts";
import type { Clock } from "../clock/clock.ts";
import type { Connection } from "../database/connection.ts";
import { createConnectionBudget } from "../database/connection-budget.ts";
import { openDatabase } from "../database/postgres.ts";
import { createIds } from "../ids/ids.ts";
import { createInProcessRpc } from "../rpc/in-process.ts";
import type { Rpc } from "../rpc/rpc.ts";
import type { Logger } from "../telemetry/logger.ts";
import { afterTests, testDatabase } from "../testing/postgres.ts";
import { createEventLog } from "./log/event-log.ts";
import type { EventsApp, EventsProcess } from "./events.contract.ts";
import type { KafkaEvents } from "./kafka/kafka-events.ts";
import type { RelayOptions } from "./kafka/kafka-relay.ts";
import { createSubscriptions } from "./subscriptions/subscriptions.ts";
import { testRegistry } from "./test-events.ts";
import { createWakeups } from "./wakeups.ts";

const silent = () => undefined;
const silentLog: Logger = { debug: silent, info: silent, warn: silent, error: silent, child: () => silentLog };
const migration = (
  await Promise.all(
    ["0001-events", "0002-event-partitions"].map((name) => readFile(new URL(`migrations/${name}.sql`, import.meta.url), "utf8")),
  )
).join(";");
const effects = `create table effects (
  nth bigint generated always as identity, subscription text not null, event text not null, stream text not null, version int not null)`;

export interface TestProcess extends EventsProcess {
  readonly rpc: Rpc;
  /** Ends what it runs, in order; the databases stay for the test. */
  stop(): Promise<void>;
}

export interface TestApp extends EventsApp {
  /** A process that reaches the service "things" through `rpc` only, and hears none of its signals. */
  processBeyond(rpc: Rpc): Promise<TestProcess>;
  /** With another way for events than the house's, or with none: then logs are read. */
  process(other?: Pick<TestAppOptions, "broker">): Promise<TestProcess>;
  /** For a process outside of this one. */
  readonly connections: { readonly things: Connection; readonly watchers: Connection };
}

export interface TestAppOptions {
  /** The events of one more process, where they travel over a broker. */
  readonly broker?: (log: Logger) => KafkaEvents;
  readonly relay?: Partial<RelayOptions>;
  /** Silent by default. */
  readonly log?: Logger;
}

/** A house with the services "things", which publishes, and "watchers", which subscribes: two empty databases, and processes as a test needs them. */
export async function openTestApp(app: TestAppOptions = {}): Promise<TestApp> {
  const { log = silentLog } = app;
  const clock = new ManualClock(new Date("2026-03-01T09:00:00Z"));
  const [things, watchers] = [await testDatabase(), await testDatabase()];
  const connections = { things: things.connection, watchers: watchers.connection };
  const endings: (() => Promise<void>)[] = [];
  afterTests(async () => {
    for (const end of endings.toReversed()) await end();
  });
  const setUp = openTestDatabases(connections, log);
  endings.push(setUp.stop);
  await setUp.things.maintenance((tx) => tx.script(migration));
  await setUp.watchers.maintenance((tx) => tx.script(`${migration}; ${effects}`));

  async function start(options: Pick<TestAppOptions, "broker">, beyond?: Rpc): Promise<TestProcess> {
    const { broker } = options;
    const one = await openTestProcess(connections, { ...app, clock, log, broker, beyond });
    endings.push(one.end);
    return one;
  }
  return { clock, connections, process: (other) => start(other ?? app), processBeyond: (rpc) => start(app, rpc) };
}

interface ProcessOptions {
  readonly broker?: TestAppOptions["broker"] | undefined;
  readonly relay?: TestAppOptions["relay"];
  readonly clock?: Clock;
  readonly log?: Logger;
  readonly beyond?: Rpc | undefined;
}

/** One process of a house whose databases are there already. `end` closes them too. */
export async function openTestProcess(
  connections: TestApp["connections"],
  { broker, relay, clock = systemClock, log = silentLog, beyond }: ProcessOptions,
): Promise<TestProcess & { end(): Promise<void> }> {
  const { things, watchers, stop: closeDatabases } = openTestDatabases(connections, log);
  const wakeups = createWakeups({ log });
  const endings: (() => Promise<void>)[] = [];
  const kafka = broker?.(log);
  if (kafka !== undefined) endings.push(() => kafka.stop());
  const rpc = beyond ?? createInProcessRpc({ log, freeze: true });
  const events = createEventLog({
    service: "things",
    database: things,
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
    const relaying = kafka?.relay({ service: "things", database: things, wakeups, log, ...(relay && { options: relay }) });
    await relaying?.start();
    if (relaying !== undefined) endings.push(() => relaying.stop());
  }
  const stop = async (): Promise<void> => {
    for (const end of endings.splice(0).toReversed()) await end();
  };
  return {
    publisher: things,
    log: events,
    subscriber: watchers,
    rpc,
    stop,
    async end() {
      await stop();
      await closeDatabases();
    },
    async subscribe(subscriptions, options = {}) {
      const clients = rpc.clientsFor("watchers");
      const watching = createSubscriptions({
        service: "watchers",
        subscriptions,
        database: watchers,
        clients,
        wakeups,
        clock,
        log,
        options,
        ...(kafka && { transport: kafka.transport({ service: "watchers", clients, log }) }),
      });
      endings.push(() => watching.stop());
      await watching.start();
      return watching;
    },
  };
}

function openTestDatabases(connections: TestApp["connections"], log: Logger) {
  const open = (name: keyof typeof connections) =>
    openDatabase({ name, connection: connections[name], budget: createConnectionBudget({ connections: 10, background: 4 }), log });
  const [things, watchers] = [open("things"), open("watchers")];
  return { things, watchers, stop: async () => void (await Promise.all([things.stop(), watchers.stop()])) };
}
