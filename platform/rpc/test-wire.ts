import { randomBytes } from "node:crypto";
import type { Logger } from "../telemetry/logger.ts";
import { tokenCallers } from "./callers.ts";
import { createGrpcServer } from "./grpc-server.ts";
import { createHttpRpcServer } from "./http-server.ts";
import { createInProcessRpc } from "./in-process.ts";
import type { InProcessRpc } from "./in-process.ts";
import { openRemotes } from "./remotes.ts";
import type { OpenRpc } from "./test-greeter.ts";
import type { Route } from "./rpc.ts";
import type { RpcServer } from "./rpc-server.ts";
import type { Remotes } from "./transport.ts";

// Servers and callers of one installation in one process, for the tests of what is between them.

export type WireProtocol = "grpc" | "http";

export const callers = tokenCallers(randomBytes(32));

const silent = () => undefined;
export const silentLog: Logger = { debug: silent, info: silent, warn: silent, error: silent, child: () => silentLog };

export const createServerOf = { grpc: createGrpcServer, http: createHttpRpcServer } as const;

export interface TestServer {
  readonly rpc: InProcessRpc;
  readonly server: RpcServer;
  readonly port: number;
  /** "127.0.0.1:1234" */
  readonly address: string;
  stop(): Promise<void>;
}

export interface TestServerOptions {
  readonly services: Readonly<Record<string, readonly Route[]>>;
  readonly log?: Logger;
  readonly rpc?: InProcessRpc;
  readonly instance?: string;
  readonly host?: string;
  readonly port?: number;
  readonly ready?: () => Promise<boolean>;
  readonly reflection?: boolean;
}

/** A process that serves these. */
export async function serveOver(protocol: WireProtocol, options: TestServerOptions): Promise<TestServer> {
  const { services, log = silentLog, instance = "test-1", host = "127.0.0.1", port = 0, ready = async () => true, reflection } = options;
  const rpc = options.rpc ?? createInProcessRpc({ log });
  for (const [name, routes] of Object.entries(services)) rpc.serve(name, routes);
  const more = reflection === undefined ? {} : { reflection };
  const server = createServerOf[protocol]({ methods: rpc.methods, callers, ready, instance, log, ...more });
  const bound = await server.start(host, port);
  return { rpc, server, port: bound, address: host.includes(":") ? `[${host}]:${bound}` : `${host}:${bound}`, stop: () => server.stop() };
}

/** The services at these addresses. */
export function remotesOver(
  protocol: WireProtocol,
  services: Readonly<Record<string, readonly string[]>>,
  { log = silentLog, onResponse }: { readonly log?: Logger; readonly onResponse?: (service: string, instance: string) => void } = {},
): Promise<Remotes> {
  const byName = Object.entries(services).map(([name, addresses]) => [name, { protocol, addresses }] as const);
  return openRemotes({ services: new Map(byName), callers, log, ...(onResponse && { onResponse }) });
}

/** A server and, beside it, a caller with nothing of its own. */
export const overWire =
  (protocol: WireProtocol): OpenRpc =>
  async ({ services, log, limits }) => {
    const rpc = createInProcessRpc({ log, ...(limits && { limits }) });
    const { address, server } = await serveOver(protocol, { services, log, rpc });
    const remotes = await remotesOver(protocol, Object.fromEntries(Object.keys(services).map((name) => [name, [address]])), { log });
    const caller = createInProcessRpc({ log, remotes });
    return {
      clientsFor: (name) => caller.clientsFor(name),
      stop: async () => {
        await rpc.stop();
        await server.stop();
        remotes.close();
      },
    };
  };
