import { performance } from "node:perf_hooks";
import { createInProcessRpc } from "@kontor/platform/rpc/in-process.ts";
import { tokenCallers } from "@kontor/platform/rpc/callers.ts";
import { rootCall } from "@kontor/platform/call/call.ts";
import { openRemotes } from "@kontor/platform/rpc/remotes.ts";
import type { Remotes } from "@kontor/platform/rpc/transport.ts";
import { startChild } from "./child.ts";
import { greeter, GreeterService, silent } from "./rpc-greeter.ts";

// What a call of another service costs, by the way that it takes. With the server in a process of its own:
//   node bench/rpc.ts [--calls 20000] [--at-once 16]

interface Row {
  readonly way: string;
  readonly callsPerSecond: number;
  readonly clientMs: number;
  readonly serverMs: number | undefined;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const calls = argument("--calls", 20_000);
const atOnce = argument("--at-once", 16);

const server = await startChild<{ readonly cpu: true }>("rpc-server.ts");
const { ports, masterKey } = server.ready as { readonly ports: Readonly<Record<"grpc" | "http", number>>; readonly masterKey: string };
const callers = tokenCallers(Buffer.from(masterKey, "hex"));

const rows = [await measure("in process", undefined)];
for (const protocol of ["grpc", "http"] as const) {
  const services = new Map([["greeter", { protocol, addresses: [`127.0.0.1:${ports[protocol]}`] }]]);
  const remotes = await openRemotes({ services, callers, log: silent });
  rows.push(await measure(protocol, remotes));
  remotes.close();
}
server.kill();

console.log(`${calls} calls, ${atOnce} at once; CPU milliseconds of each side per call`);
console.log(["way", "calls/s", "client", "server", "p50 ms", "p99 ms"].map((title) => title.padStart(11)).join(""));
for (const { way, callsPerSecond, clientMs, serverMs, p50Ms, p99Ms } of rows)
  console.log(
    [way, callsPerSecond.toFixed(0), clientMs.toFixed(4), serverMs?.toFixed(4) ?? "", p50Ms.toFixed(3), p99Ms.toFixed(3)]
      .map((text) => text.padStart(11))
      .join(""),
  );

async function measure(way: string, remotes: Remotes | undefined): Promise<Row> {
  const rpc = createInProcessRpc({ log: silent, ...(remotes && { remotes }) });
  if (remotes === undefined) rpc.serve("greeter", [greeter]);
  const client = rpc.clientsFor("orders").of("greeter", GreeterService);
  const user = { id: "usr_0123456789abcdef", session: "ses_0123456789abcdef", roles: [], verified: true };
  const run = async (count: number): Promise<readonly number[]> => {
    const took: number[] = [];
    let begun = 0;
    const worker = async () => {
      while (begun++ < count) {
        const startedMs = performance.now();
        await client.greet({ sku: "tea", quantity: 1 }, rootCall({ caller: "orders", timeoutMs: 5_000, user }));
        took.push(performance.now() - startedMs);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
    return took.toSorted((one, other) => one - other);
  };
  await run(Math.min(calls, 5_000));
  const before = { own: process.cpuUsage(), server: await server.tell<number>({ cpu: true }), atMs: performance.now() };
  const took = await run(calls);
  const seconds = (performance.now() - before.atMs) / 1000;
  const own = process.cpuUsage(before.own);
  const served = (await server.tell<number>({ cpu: true })) - before.server;
  await rpc.stop();
  return {
    way,
    callsPerSecond: calls / seconds,
    clientMs: (own.user + own.system) / 1000 / calls,
    serverMs: remotes === undefined ? undefined : served / calls,
    p50Ms: took[Math.floor(took.length * 0.5)]!,
    p99Ms: took[Math.floor(took.length * 0.99)]!,
  };
}

function argument(name: string, byDefault: number): number {
  const at = process.argv.indexOf(name);
  return at < 0 ? byDefault : Number(process.argv[at + 1]);
}
