import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import type { Remotes } from "@kontor/platform/rpc/transport.ts";
import type { HostedService } from "@kontor/platform/service/host-service.ts";
import { collectDefaultMetrics, Gauge, Registry } from "prom-client";

export interface MetricsOptions {
  readonly instance: string;
  readonly remotes: Remotes;
  readonly services: readonly HostedService[];
  readonly databases: ReadonlyMap<string, PostgresDatabase>;
}

/** The metrics of a process in Prometheus' text format, read when they are scraped: they add no work to a request. */
export interface Metrics {
  readonly contentType: string;
  text(): Promise<string>;
}

const breakerStates = { closed: 0, "half-open": 1, open: 2 } as const;

export function createMetrics({ instance, remotes, services, databases }: MetricsOptions): Metrics {
  const register = new Registry();
  register.setDefaultLabels({ instance_name: instance });
  collectDefaultMetrics({ register });

  const gauge = gaugesIn(register);
  gauge("rpc_breaker", "0 closed, 1 half-open, 2 open: calls to a service that does not respond fail at once", ["callee"], (of) => {
    for (const { service, breaker } of remotes.figures()) of.set({ callee: service }, breakerStates[breaker]);
  });
  gauge("rpc_calls", "Calls to services in other processes since the start, by outcome", ["callee", "outcome"], (of) => {
    for (const { service, calls, failures, retries } of remotes.figures()) {
      of.set({ callee: service, outcome: "all" }, calls);
      of.set({ callee: service, outcome: "failed" }, failures);
      of.set({ callee: service, outcome: "retried" }, retries);
    }
  });
  gauge("database_transactions", "Open transactions", ["database"], (of) => {
    for (const [database, open] of databases) of.set({ database }, open.figures().transactions);
  });
  gauge("database_statements", "Single statements that are running", ["database"], (of) => {
    for (const [database, open] of databases) of.set({ database }, open.figures().statements);
  });
  gauge(
    "subscription_lag",
    "About how many events of the publisher the subscription has not read yet",
    ["service", "subscription"],
    async (of) => {
      for (const { name: service, subscriptions } of services)
        for (const { name: subscription, lag } of await subscriptions.status()) of.set({ service, subscription }, lag);
    },
  );
  gauge(
    "subscription_parked",
    "Events that could not be applied and wait for an operator or a retry",
    ["service", "subscription"],
    async (of) => {
      for (const { name: service, subscriptions } of services)
        for (const { name: subscription, parked } of await subscriptions.status()) of.set({ service, subscription }, parked);
    },
  );
  gauge("tasks", "Tasks by queue and state", ["service", "queue", "state"], async (of) => {
    for (const { name: service, tasks } of services)
      for (const { queue, oldestDueAt: _, ...counts } of await tasks.figures())
        for (const [state, count] of Object.entries(counts)) if (typeof count === "number") of.set({ service, queue, state }, count);
  });
  return { contentType: register.contentType, text: () => register.metrics() };
}

/** Makes gauges whose values are read when they are scraped. */
function gaugesIn(register: Registry) {
  return <Labels extends string>(
    name: string,
    help: string,
    labelNames: readonly Labels[],
    read: (gauge: Gauge<Labels>) => Promise<void> | void,
  ) =>
    new Gauge({
      name: `kontor_${name}`,
      help,
      labelNames: [...labelNames],
      registers: [register],
      async collect() {
        this.reset();
        await read(this);
      },
    });
}
