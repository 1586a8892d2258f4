import { create } from "@bufbuild/protobuf";
import {
  HealthCheckResponse_ServingStatus as Status,
  Health,
  HealthCheckResponseSchema,
} from "@kontor/contracts/gen/grpc/health/v1/health_pb.js";
import type { HealthCheckRequest, HealthCheckResponse } from "@kontor/contracts/gen/grpc/health/v1/health_pb.js";
import type * as grpc from "@grpc/grpc-js";
import type { Logger } from "../telemetry/logger.ts";
import { definitionOf } from "./grpc-methods.ts";

export interface HealthOptions {
  readonly ready: () => Promise<boolean>;
  readonly log: Logger;
}

type Watcher = grpc.ServerWritableStream<HealthCheckRequest, HealthCheckResponse>;

const watchMs = 1_000;

/**
 * The health service that balancers and Kubernetes ask: open to all, tells nothing but whether this process is ready. A watcher hears of each change
 * within a second.
 */
export function createHealth({ ready, log }: HealthOptions) {
  /** With what each was told last. */
  const watchers = new Map<Watcher, Status | undefined>();
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  async function now(): Promise<Status> {
    try {
      return !stopped && (await ready()) ? Status.SERVING : Status.NOT_SERVING;
    } catch (error) {
      log.warn({ error }, "could not ask whether the process is ready");
      return Status.NOT_SERVING;
    }
  }

  async function look(): Promise<void> {
    tell(await now());
    if (watchers.size > 0) timer = setTimeout(() => void look(), watchMs).unref();
    else timer = undefined;
  }

  function tell(status: Status): void {
    for (const [watcher, told] of watchers)
      if (told !== status) {
        watchers.set(watcher, status);
        watcher.write(create(HealthCheckResponseSchema, { status }));
      }
  }

  const check: grpc.handleUnaryCall<HealthCheckRequest, HealthCheckResponse> = (_, answer) =>
    void now().then((status) => answer(null, create(HealthCheckResponseSchema, { status })));

  const watch: grpc.handleServerStreamingCall<HealthCheckRequest, HealthCheckResponse> = (stream) => {
    watchers.set(stream, undefined);
    stream.on("cancelled", () => watchers.delete(stream));
    void now().then(tell);
    timer ??= setTimeout(() => void look(), watchMs).unref();
  };

  const implementation: grpc.UntypedServiceImplementation = { check, watch };
  return {
    definition: {
      check: definitionOf(Health, Health.method.check, false),
      watch: definitionOf(Health, Health.method.watch, true),
    },
    implementation,
    /** Tells all watchers that this process serves no more, and lets them go. */
    stop() {
      stopped = true;
      clearTimeout(timer);
      tell(Status.NOT_SERVING);
      for (const watcher of watchers.keys()) watcher.end();
      watchers.clear();
    },
  };
}
