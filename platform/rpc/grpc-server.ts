import type { DescService, Message } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { Health } from "@kontor/contracts/gen/grpc/health/v1/health_pb.js";
import { contractOf } from "../contract/contract.ts";
import { GrpcHandlers } from "./grpc-handlers.ts";
import { createHealth } from "./grpc-health.ts";
import { callStreamDefinition, definitionOf } from "./grpc-methods.ts";
import { createReflection } from "./grpc-reflection.ts";
import type { RpcServer, RpcServerOptions } from "./rpc-server.ts";
import { ServerCalls } from "./server-calls.ts";
import { messageBytesMax } from "./wire-call.ts";

export interface GrpcServerOptions extends RpcServerOptions {
  /** Whether anybody may list what is served: for tools such as grpcurl. Off by default. */
  readonly reflection?: boolean;
}

const settings: grpc.ServerOptions = {
  "grpc.max_receive_message_length": messageBytesMax,
  "grpc.max_send_message_length": messageBytesMax,
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 5_000,
  // Connections are replaced now and then, so that callers find replicas that were added.
  "grpc.max_connection_age_ms": 600_000,
  // A call stream is used for 40 s after it was opened.
  "grpc.max_connection_age_grace_ms": 120_000,
  // Statistics of grpc-js that are not read.
  "grpc.enable_channelz": 0,
};

/** Serves this process's methods over gRPC, with the health service beside them. */
export function createGrpcServer(options: GrpcServerOptions): RpcServer {
  const { tls, reflection = false } = options;
  const server = new grpc.Server(settings);
  const calls = new ServerCalls(options);
  const handlers = new GrpcHandlers(options, calls);
  const health = createHealth(() => calls.isReady());

  function addServices(): void {
    const contracts = calls.contracts();
    for (const contract of contracts) server.addService(definitionsOf(contract), handlers.of(contract));
    server.addService({ open: callStreamDefinition }, { open: handlers.callStreams() });
    server.addService(health.definition, health.implementation);
    if (!reflection) return;
    const { definition, implementation } = createReflection([...contracts, Health]);
    server.addService(definition, implementation);
  }

  return {
    async start(host, port) {
      addServices();
      const credentials = tls?.serverCredentials() ?? grpc.ServerCredentials.createInsecure();
      return new Promise((resolve, reject) => {
        const address = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
        server.bindAsync(address, credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
      });
    },
    stop: () =>
      calls.stop({
        close() {
          health.stop();
          return new Promise((resolve) => server.tryShutdown(() => resolve()));
        },
        cut: () => server.forceShutdown(),
      }),
  };
}

function definitionsOf(contract: DescService): Record<string, grpc.MethodDefinition<Message, Message>> {
  const definitions: Record<string, grpc.MethodDefinition<Message, Message>> = {};
  for (const desc of contract.methods) {
    const { method, streams } = contractOf(desc);
    definitions[method.localName] = definitionOf(contract, method, streams);
  }
  return definitions;
}
