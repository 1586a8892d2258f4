import { createServer } from "node:net";
import { resolve } from "node:path";
import { createLogger } from "@kontor/platform/telemetry/create-logger.ts";
import { deferSignals } from "@kontor/platform/lifecycle/defer-signals.ts";
import { stopOnSignals } from "@kontor/platform/lifecycle/stop-on-signals.ts";
import { stopWithParent } from "@kontor/platform/lifecycle/stop-with-parent.ts";
import { openCluster } from "../cluster/open-cluster.ts";
import type { ProcessStatus } from "../cluster/supervisor.ts";
import { readConfiguration } from "../configuration.ts";
import { allRoles, serviceNames } from "../roles.ts";
import { CommandError, readArgs, UsageError } from "./command.ts";
import type { Command, Output } from "./command.ts";
import { explainOpening } from "./app/explain-opening.ts";
import { paint } from "./terminal/paint.ts";

const replicasMax = 8;
const colours = ["cyan", "green", "yellow", "magenta", "blue", "red"] as const;

export const cluster: Command = {
  name: "cluster",
  summary: "start the shop as a process per service on this machine, and restart those that end",
  usage: `Usage: kontor cluster [--replicas N] [--certs FOLDER]

Starts PostgreSQL (or uses KONTOR_DATABASE_URL), then each service, the gateway, the payment provider and the mailbox as a process of its
own; they call each other over gRPC. One that ends is started again. Until Ctrl-C.

  --replicas N     processes of each service and of the gateway: 1 by default, ${replicasMax} at most
  --certs FOLDER   call each other over TLS, with the certificates of kontor certs --out FOLDER`,
  async run(args, { env, stdout }) {
    // npm may have ended by the time the cluster is open.
    const parent = process.ppid;
    const { values } = readArgs(args, { replicas: { type: "string", default: "1" }, certs: { type: "string" } });
    const replicas = Number(values.replicas);
    if (!Number.isInteger(replicas) || replicas < 1 || replicas > replicasMax)
      throw new UsageError(`--replicas must be a whole number from 1 to ${replicasMax}`);
    const config = readConfiguration(env);
    if (config.requireTls && values.certs === undefined)
      throw new UsageError("KONTOR_REQUIRE_TLS needs --certs FOLDER: without certificates the processes call each other in plain text");
    const format = config.logFormat ?? (stdout.isTTY === true ? "pretty" : "json");
    const log = createLogger({ service: "kontor", level: config.logLevel, format });
    const ports = await freePorts(serviceNames.length * replicas, config.port);
    // Its PostgreSQL would outlive this process.
    const release = deferSignals();
    const app = await openCluster({
      config,
      env: { ...env, KONTOR_LOG_FORMAT: format },
      log,
      replicas,
      ...(values.certs !== undefined && { certs: resolve(values.certs) }),
      ports: () => ports.shift()!,
      line: (name, text) => stdout.write(format === "json" ? `${text}\n` : `${painted(stdout, name)} ${text}\n`),
      changed: (status, cause) => {
        if (format === "json")
          log.info({ process: status.name, state: status.state, pid: status.pid, restarts: status.restarts, cause }, "process");
        else stdout.write(statusLine(stdout, status, cause));
      },
    })
      .catch((error: unknown) => {
        throw explainOpening(error, config);
      })
      .finally(release);
    const { stop } = stopOnSignals({ lifecycle: app.lifecycle, log, timeoutMs: 30_000 });
    if (env["npm_lifecycle_event"] !== undefined) stopWithParent(() => stop("npm has ended"), parent);
    const seconds = process.uptime().toFixed(1);
    if (format === "json") log.info({ ...app.addresses, services: app.services, seconds: Number(seconds) }, "ready");
    else
      stdout.write(
        `\n  API  ${paint(stdout, "cyan", app.addresses.api)}\n\nKontor is ready after ${seconds} s in ${app.processes} processes. Ctrl-C stops it.\n`,
      );
    return 0;
  },
};

/** Names of the same service have the same colour. */
function painted(output: Output, name: string): string {
  const service = name.replace(/-\d+$/, "");
  const at = allRoles.findIndex((role) => role === service);
  return paint(output, colours[at % colours.length]!, name.padEnd(15));
}

function statusLine(output: Output, { name, state, restarts }: ProcessStatus, cause: string): string {
  const shade = state === "ready" ? "green" : state === "ended" ? "red" : "gray";
  return `${painted(output, name)} ${paint(output, shade, state.padEnd(8))} ${cause}${restarts > 0 ? `, restarts ${restarts}` : ""}\n`;
}

/** The system gives ports from here on to outgoing connections: one that is free now may be taken in a second. */
const outgoingFrom = 32_000;

/** Free ports above the API's; each process has its own as long as the cluster runs. */
async function freePorts(count: number, api: number): Promise<number[]> {
  const ports: number[] = [];
  const first = api < outgoingFrom - 1_000 ? api + 10 : 12_000 + Math.floor(Math.random() * 10_000);
  for (let port = first; ports.length < count; port++) {
    if (port >= outgoingFrom) throw new CommandError(`there are no ${count} free ports from ${first} on`);
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
