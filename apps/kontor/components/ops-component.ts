import type { Lifecycle, Component } from "@kontor/platform/lifecycle/lifecycle.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Configuration } from "../configuration.ts";
import type { MetricsOptions } from "../ops/metrics.ts";

interface Needs {
  readonly config: Configuration;
  readonly port: number;
  /** What the metrics are about. */
  readonly shown: MetricsOptions;
  readonly lifecycle: Lifecycle;
  readonly log: Logger;
}

/** Health, readiness and metrics of this process, on a port of their own. */
export async function opsComponent({ config, port, shown, lifecycle, log }: Needs): Promise<Component> {
  const [{ createMetrics }, { createOpsServer }] = await Promise.all([import("../ops/metrics.ts"), import("../ops/ops-server.ts")]);
  const server = createOpsServer({ metrics: createMetrics(shown), ready: () => lifecycle.ready(), log: log.child({ service: "ops" }) });
  return { name: "ops server", start: () => server.start(config.host, port), stop: () => server.stop() };
}
