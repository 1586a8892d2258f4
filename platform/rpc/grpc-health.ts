import { create } from "@bufbuild/protobuf";
import {
  HealthCheckResponse_ServingStatus as Status,
  Health,
  HealthCheckResponseSchema,
} from "@kontor/contracts/gen/grpc/health/v1/health_pb.js";
import type { HealthCheckRequest, HealthCheckResponse } from "@kontor/contracts/gen/grpc/health/v1/health_pb.js";
import type * as grpc from "@grpc/grpc-js";
import { definitionOf } from "./grpc-methods.ts";

type Watcher = grpc.ServerWritableStream<HealthCheckRequest, HealthCheckResponse>;

const watchMs = 1_000;

/** The health service for load balancers and Kubernetes: anybody may call it, and watchers get each change within a second. */
export function createHealth(isReady: () => Promise<boolean>) {
  /** Each with the status that it was sent last. */
  const watchers = new Map<Watcher, Status | undefined>();
  let timer: NodeJS.Timeout | undefined;

  const now = async (): Promise<Status> => ((await isReady()) ? Status.SERVING : Status.NOT_SERVING);

  async function look(): Promise<void> {
    send(await now());
    if (watchers.size > 0) timer = setTimeout(() => void look(), watchMs).unref();
    else timer = undefined;
  }

  function send(status: Status): void {
    for (const [watcher, sent] of watchers)
      if (sent !== status) {
        watchers.set(watcher, status);
        watcher.write(create(HealthCheckResponseSchema, { status }));
      }
  }

  const check: grpc.handleUnaryCall<HealthCheckRequest, HealthCheckResponse> = (_, respond) =>
    void now().then((status) => respond(null, create(HealthCheckResponseSchema, { status })));

  const watch: grpc.handleServerStreamingCall<HealthCheckRequest, HealthCheckResponse> = (stream) => {
    watchers.set(stream, undefined);
    stream.on("cancelled", () => watchers.delete(stream));
    void now().then(send);
    timer ??= setTimeout(() => void look(), watchMs).unref();
  };

  const implementation: grpc.UntypedServiceImplementation = { check, watch };
  return {
    definition: {
      check: definitionOf(Health, Health.method.check, false),
      watch: definitionOf(Health, Health.method.watch, true),
    },
    implementation,
    /** Sends all watchers that this process serves no more, and ends their streams. */
    stop() {
      clearTimeout(timer);
      send(Status.NOT_SERVING);
      for (const watcher of watchers.keys()) watcher.end();
      watchers.clear();
    },
  };
}
