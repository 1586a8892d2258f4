import type { Component } from "@kontor/platform/lifecycle/lifecycle.ts";
import { certificateCallers } from "@kontor/platform/rpc/callers.ts";
import type { Callers } from "@kontor/platform/rpc/callers.ts";
import type { RpcServerOptions } from "@kontor/platform/rpc/rpc-server.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Configuration } from "../configuration.ts";
import type { Placement } from "../placement.ts";

interface Needs extends Pick<RpcServerOptions, "methods" | "instance" | "ready"> {
  readonly config: Configuration;
  readonly listen: NonNullable<Placement["listen"]>;
  /** Who calls, where no certificate says so. */
  readonly tokens: Callers;
  readonly tls: RpcServerOptions["tls"] | undefined;
  readonly log: Logger;
}

/** Serves this process's services to other processes. */
export async function rpcServerComponent({ config, listen, methods, tokens, tls, instance, ready, log }: Needs): Promise<Component> {
  const { protocol, host, port } = listen;
  const secure = protocol === "grpcs" || protocol === "https";
  const needs = {
    methods,
    // Over TLS a certificate says who calls, and nothing else does.
    callers: secure ? certificateCallers : tokens,
    ready,
    instance,
    log: log.child({ service: "rpc" }),
    ...(secure && tls && { tls }),
  };
  const server = protocol.startsWith("grpc")
    ? (await import("@kontor/platform/rpc/grpc-server.ts")).createGrpcServer({ ...needs, reflection: config.reflection })
    : (await import("@kontor/platform/rpc/http-server.ts")).createHttpRpcServer(needs);
  return { name: "rpc server", start: async () => void (await server.start(host, port)), stop: () => server.stop() };
}
