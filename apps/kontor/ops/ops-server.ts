import { createServer } from "node:http";
import type { Readiness } from "@kontor/platform/lifecycle/lifecycle.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Metrics } from "./metrics.ts";

export interface OpsServerOptions {
  readonly metrics: Metrics;
  readonly ready: () => Promise<Readiness>;
  readonly log: Logger;
}

/** Serves /metrics, /healthz and /readyz to operators. */
export interface OpsServer {
  start(host: string, port: number): Promise<void>;
  stop(): Promise<void>;
}

export function createOpsServer({ metrics, ready, log }: OpsServerOptions): OpsServer {
  const responses: Readonly<Record<string, () => Promise<readonly [status: number, type: string, text: string]>>> = {
    "/metrics": async () => [200, metrics.contentType, await metrics.text()],
    "/healthz": async () => [200, "application/json", '{"status":"alive"}'],
    "/readyz": async () => {
      const state = await ready();
      return [
        state.ready ? 200 : 503,
        "application/json",
        JSON.stringify({ status: state.ready ? "ready" : "not ready", notReady: state.notReady }),
      ];
    },
  };
  const server = createServer((request, response) => {
    const path = (request.url ?? "/").split("?")[0] ?? "/";
    const respond = Object.hasOwn(responses, path) && request.method === "GET" ? responses[path] : undefined;
    if (respond === undefined) return void response.writeHead(404).end();
    respond().then(
      ([status, type, text]) => response.writeHead(status, { "content-type": type }).end(text),
      (error: unknown) => {
        log.warn({ error, path }, "an operator's request failed");
        response.writeHead(503).end();
      },
    );
  });
  return {
    start: (host, port) =>
      new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, host, resolve);
      }),
    stop: () =>
      new Promise((resolve) => {
        if (!server.listening) return resolve();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
