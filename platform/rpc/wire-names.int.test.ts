import assert from "node:assert/strict";
import dns from "node:dns";
import type { LookupAddress } from "node:dns";
import { syncBuiltinESMExports } from "node:module";
import { performance } from "node:perf_hooks";
import { after, before, describe, it, mock } from "node:test";
import { rootCall } from "../call/call.ts";
import { createInProcessRpc } from "./in-process.ts";
import { greeterHandlers, GreeterService } from "./test-greeter.ts";
import { implement } from "./rpc.ts";
import { remotesOver, serveOver, silentLog } from "./test-wire.ts";
import type { TestServer, WireProtocol } from "./test-wire.ts";

// The resolver decides what a name means; here the test is the resolver.

const one = "127.0.0.1";
// The second address of this machine: only Linux and Windows have all of 127.0.0.0/8.
const other = process.platform === "darwin" ? "::1" : "127.0.0.2";
const names = new Map<string, readonly string[]>();

type Found = (error: Error | null, addresses: readonly LookupAddress[]) => void;

before(() => {
  const find = (name: string): LookupAddress[] =>
    (names.get(name) ?? [name]).map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
  mock.method(dns.promises, "lookup", async (name: string) => find(name));
  mock.method(dns, "lookup", (name: string, _: unknown, found: Found) => process.nextTick(found, null, find(name)));
  syncBuiltinESMExports();
});
after(() => {
  mock.restoreAll();
  syncBuiltinESMExports();
});

const tea = { sku: "tea", quantity: 1 };

for (const protocol of ["grpc", "http"] as const satisfies readonly WireProtocol[])
  describe(`names: ${protocol}`, () => {
    const serve = (instance: string, host: string, port = 0) =>
      serveOver(protocol, { services: { greeter: [implement(GreeterService, greeterHandlers)] }, instance, host, port });
    const stop = async ({ server, rpc }: TestServer) => {
      await server.stop();
      await rpc.stop();
    };

    async function open(name: string, port: number) {
      const responded = new Set<string>();
      const remotes = await remotesOver(
        protocol,
        { greeter: [`${name}:${port}`] },
        { onResponse: (_, instance) => responded.add(instance) },
      );
      const client = createInProcessRpc({ log: silentLog, remotes }).clientsFor("orders").of("greeter", GreeterService);
      const call = () => client.greet(tea, rootCall({ caller: "test", timeoutMs: 10_000 }));
      return { responded, call, close: () => remotes.close() };
    }

    it("API-08 GW-17: all addresses of a name are used", async () => {
      const first = await serve("first", one);
      const second = await serve("second", other, first.port);
      const name = `both.${protocol}.test`;
      names.set(name, [one, other]);
      const { responded, call, close } = await open(name, first.port);
      for (const endsMs = performance.now() + 20_000; responded.size < 2 && performance.now() < endsMs;)
        await Promise.all([call(), call(), call(), call()]);
      assert.deepEqual([...responded].toSorted(), ["first", "second"]);
      close();
      await Promise.all([stop(first), stop(second)]);
    });

    it("API-08: a service is found by its name after its instance was replaced by one with another address", async () => {
      const first = await serve("first", one);
      const second = await serve("second", other, first.port);
      const name = `moved.${protocol}.test`;
      names.set(name, [one]);
      const { responded, call, close } = await open(name, first.port);
      await call();
      assert.deepEqual([...responded], ["first"]);
      names.set(name, [other]);
      await stop(first);
      const failures: unknown[] = [];
      for (const endsMs = performance.now() + 20_000; !responded.has("second") && performance.now() < endsMs;)
        await call().catch((error: unknown) => failures.push(error));
      assert.ok(responded.has("second"), `it was not found: ${String(failures[0])}`);
      close();
      await stop(second);
    });
  });
