import { duplexPair } from "node:stream";
import type { Duplex } from "node:stream";
import type { Logger } from "../../telemetry/logger.ts";
import { callers, silentLog } from "../test-wire.ts";
import { createInProcessRpc } from "../in-process.ts";
import type { InProcessRpc } from "../in-process.ts";
import type { Route } from "../rpc.ts";
import { ServerCalls } from "../server-calls.ts";
import type { Carrier } from "./carrier.ts";
import { ClientCallStream } from "./client-call-stream.ts";
import { ServerCallStream, unaryMethods } from "./server-call-stream.ts";

// A caller and a callee with a call stream between them, in one process and without a network, so that it is always there.

export interface TestCallee {
  readonly rpc: InProcessRpc;
  /** Serves a call stream on it. */
  serve(stream: Duplex, parties: { readonly caller: string; readonly service: string }): void;
  /** As a server stops: when no call is under way. */
  stop(): Promise<void>;
}

export function openCallee(services: Readonly<Record<string, readonly Route[]>>, { log = silentLog }: { log?: Logger } = {}): TestCallee {
  const rpc = createInProcessRpc({ log });
  for (const [name, routes] of Object.entries(services)) rpc.serve(name, routes);
  return calleeOf(rpc, log);
}

/** The callee of what this serves. */
export function calleeOf(rpc: InProcessRpc, log: Logger): TestCallee {
  const server = { methods: rpc.methods, callers, ready: async () => true, instance: "test-1", log };
  const calls = new ServerCalls(server);
  const ended = new Set<Promise<unknown>>();
  return {
    rpc,
    serve(stream, parties) {
      ended.add(new Promise((resolve) => stream.once("close", resolve)));
      void new ServerCallStream({ carrier: carrierOf(stream), parties, server, calls, methods: unaryMethods(calls) });
    },
    stop: () => calls.stop({ close: async () => void (await Promise.all(ended)), cut: () => undefined }),
  };
}

export interface TestStream {
  readonly stream: ClientCallStream;
  /** What is between them: the caller's end and the callee's. */
  readonly ends: readonly [caller: Duplex, callee: Duplex];
  /** How many responses there were. */
  responses(): number;
}

/** The caller's side, with nobody on the other one yet. */
export function openStream(closed: (stream: ClientCallStream) => void = () => undefined): TestStream {
  const ends = duplexPair();
  let responses = 0;
  const stream = new ClientCallStream({ carrier: carrierOf(ends[0]), responded: () => void responses++, closed });
  return { stream, ends, responses: () => responses };
}

/** Cut, both ends are gone, as a connection's are. */
function carrierOf(stream: Duplex): Carrier {
  return { stream, cut: () => void stream.destroy(new Error("it was cut")) };
}
