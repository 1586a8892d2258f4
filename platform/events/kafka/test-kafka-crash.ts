// A process of an installation that kills itself: node test-kafka-crash.ts '<ChildTask as JSON>'. Prints "ready" once it works.
import { sql } from "../../database/sql.ts";
import { append, recording } from "../test-subscriptions.ts";
import { createKafkaEvents } from "./kafka-events.ts";
import type { KafkaOptions } from "./kafka-options.ts";
import { openTestProcess } from "../open-test-installation.ts";
import type { TestInstallation } from "../open-test-installation.ts";

/** What the child works on, and at which moment, after how many times, it kills itself. The parent may kill it at any time. */
export interface ChildTask {
  readonly kafka: KafkaOptions;
  readonly connections: TestInstallation["connections"];
  readonly writer: string;
  readonly dies: "after commit" | "after publishing" | "after handling" | "any time";
  readonly after: number;
}

const task = JSON.parse(process.argv[2] ?? "") as ChildTask;
const die = (): void => void process.kill(process.pid, "SIGKILL");
let left = task.after;

const quickLeases = { leaseMs: 400 };
const shop = await openTestProcess(task.connections, {
  broker: (log) => createKafkaEvents({ ...task.kafka, log }),
  // "after publishing": the relay's checkpoint is never stored.
  relay: { ...quickLeases, storeMs: task.dies === "after publishing" ? 600_000 : 20, pauseMs: 5 },
});
await shop.subscribe(
  [
    {
      ...recording("watch"),
      apply: async (tx, events) => {
        await recording("watch").apply(tx, events);
        if (task.dies === "after handling" && --left <= 0) die();
      },
    },
  ],
  { ...quickLeases, lingerMs: 0, pauseMs: 0 },
);
process.stdout.write("ready\n");
for (let version = 0; ; version++) {
  await append(shop.publisher, shop.log, `${task.writer}-${version % 5}`, Math.floor(version / 5), 1);
  if (task.dies === "after commit" && --left <= 0) die();
  if (task.dies === "after publishing" && --left <= 0) {
    await shop.publisher.one(sql`select pg_sleep(0.02)`);
    die();
  }
}
