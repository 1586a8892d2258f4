// A shop in a process of its own, which dies: node test-kafka-crash.ts '<ChildOrders as JSON>'. Says "ready" on its output when it works.
import { sql } from "../../database/sql.ts";
import { append, recording } from "../events.contract.ts";
import { createKafkaEvents } from "./kafka-events.ts";
import type { KafkaOptions } from "./kafka-options.ts";
import { openTestProcess } from "../open-test-app.ts";
import type { TestApp } from "../open-test-app.ts";

/** What the child works on, and where it kills itself: after so many times. The parent may kill it at any time. */
export interface ChildOrders {
  readonly kafka: KafkaOptions;
  readonly connections: TestApp["connections"];
  readonly writer: string;
  readonly dies: "after commit" | "after publishing" | "after handling" | "any time";
  readonly after: number;
}

const orders = JSON.parse(process.argv[2] ?? "") as ChildOrders;
const die = (): void => void process.kill(process.pid, "SIGKILL");
let left = orders.after;

const quickLeases = { leaseMs: 400 };
const shop = await openTestProcess(orders.connections, {
  broker: (log) => createKafkaEvents({ ...orders.kafka, log }),
  // "after publishing": nothing of what it publishes is stored.
  relay: { ...quickLeases, storeMs: orders.dies === "after publishing" ? 600_000 : 20, pauseMs: 5 },
});
await shop.subscribe(
  [
    {
      ...recording("watch"),
      apply: async (tx, events) => {
        await recording("watch").apply(tx, events);
        if (orders.dies === "after handling" && --left <= 0) die();
      },
    },
  ],
  { ...quickLeases, lingerMs: 0, pauseMs: 0 },
);
process.stdout.write("ready\n");
for (let version = 0; ; version++) {
  await append(shop.publisher, shop.log, `${orders.writer}-${version % 5}`, Math.floor(version / 5), 1);
  if (orders.dies === "after commit" && --left <= 0) die();
  if (orders.dies === "after publishing" && --left <= 0) {
    await shop.publisher.one(sql`select pg_sleep(0.02)`);
    die();
  }
}
