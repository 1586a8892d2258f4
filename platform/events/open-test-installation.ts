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
import type { EventsInstallation, EventsProcess } from "./test-subscriptions.ts";
import type { KafkaEvents } from "./kafka/kafka-events.ts";
import type { RelayOptions } from "./kafka/kafka-relay.ts";
import { createSubscriptions } from "./subscriptions/subscriptions.ts";
import { testRegistry } from "./test-events.ts";
import { createWakeups } from "./wakeups.ts";

const silent = () => undefined;
export const silentLog: Logger = { debug: silent, info: silent, warn: silent, error: silent, child: () => silentLog };
const migration = (
  await Promise.all(
    ["0001-events", "0002-event-partitions"].map((name) => readFile(new URL(`migrations/${name}.sql`, import.meta.url), "utf8")),
  )
).join(";");
const effects = `create table effects (
  nth bigint generated always as identity, subscription text not null, event text not null, stream text not null, version int not null)`;

export interface TestProcess extends EventsProcess {
  readonly rpc: Rpc;
  /** Stops what it runs, in order; the databases stay open for the test. */
  stop(): Promise<void>;
}

export interface TestInstallation extends EventsInstallation {
  /** A process without the service "things": it calls that through `rpc` and receives none of its signals. */
  remoteProcess(rpc: Rpc): Promise<TestProcess>;
  /** One more process; with another broker than the installation's, or without one when the option is empty. */
  process(other?: Pick<TestInstallationOptions, "broker">): Promise<TestProcess>;
  /** For a child process. */
  readonly connections: { readonly things: Connection; readonly watchers: Connection };
}

export interface TestInstallationOptions {
  /** Opens a broker's events for one more process; without it subscribers read the logs. */
  readonly broker?: (log: Logger) => KafkaEvents;
  readonly relay?: Partial<RelayOptions>;
  /** Silent by default. */
  readonly log?: Logger;
}

/** An installation with the services "things", which publishes, and "watchers", which subscribes: two empty databases, and as many processes as a test starts. */
export async function openTestInstallation(installation: TestInstallationOptions = {}): Promise<TestInstallation> {
  const { log = silentLog } = installation;
  const clock = new ManualClock(new Date("2026-03-01T09:00:00Z"));
  const [things, watchers] = [await testDatabase(), await testDatabase()];
  const connections = { things: things.connection, watchers: watchers.connection };
  const endings: (() => Promise<void>)[] = [];
  afterTests(async () => {
    for (const end of endings.toReversed()) await end();
  });
  const databases = openTestDatabases(connections, log);
  endings.push(databases.stop);
  await databases.things.maintenance((tx) => tx.script(migration));
  await databases.watchers.maintenance((tx) => tx.script(`${migration}; ${effects}`));

  async function start(options: Pick<TestInstallationOptions, "broker">, remote?: Rpc): Promise<TestProcess> {
    const { broker } = options;
    const opened = await openTestProcess(connections, { ...installation, clock, log, broker, remote });
    endings.push(opened.end);
    return opened;
  }
  return { clock, connections, process: (other) => start(other ?? installation), remoteProcess: (rpc) => start(installation, rpc) };
}

interface ProcessOptions {
  readonly broker?: TestInstallationOptions["broker"] | undefined;
  readonly relay?: TestInstallationOptions["relay"];
  readonly clock?: Clock;
  readonly log?: Logger;
  /** The rpc of another process, which hosts "things". */
  readonly remote?: Rpc | undefined;
}

/** One process of an installation whose databases exist already. `end` closes its connections to them too. */
export async function openTestProcess(
  connections: TestInstallation["connections"],
  { broker, relay, clock = systemClock, log = silentLog, remote }: ProcessOptions,
): Promise<TestProcess & { end(): Promise<void> }> {
  const { things, watchers, stop: closeDatabases } = openTestDatabases(connections, log);
  const wakeups = createWakeups({ log });
  const endings: (() => Promise<void>)[] = [];
  const kafka = broker?.(log);
  if (kafka !== undefined) endings.push(() => kafka.stop());
  const rpc = remote ?? createInProcessRpc({ log, freeze: true });
  const events = createEventLog({
    service: "things",
    database: things,
    clock,
    ids: createIds(clock),
    registry: testRegistry,
    wakeups,
    log,
  });
  if (remote === undefined) {
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

function openTestDatabases(connections: TestInstallation["connections"], log: Logger) {
  const open = (name: keyof typeof connections) =>
    openDatabase({ name, connection: connections[name], budget: createConnectionBudget({ connections: 10, background: 4 }), log });
  const [things, watchers] = [open("things"), open("watchers")];
  return { things, watchers, stop: async () => void (await Promise.all([things.stop(), watchers.stop()])) };
}
