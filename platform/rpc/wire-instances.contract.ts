import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { it } from "node:test";
import { createInProcessRpc } from "./in-process.ts";
import { callOf, GreeterService, tea } from "./test-greeter.ts";
import { remotesOver, silentLog } from "./test-wire.ts";
import type { WireProtocol } from "./test-wire.ts";
import { serveGreeter, stopProcess, WireApp } from "./test-wire-app.ts";

/** How the instances of a service share its calls, and what happens when one starts, stops or is unavailable. */
export function wireInstances(protocol: WireProtocol): void {
  it("GW-17: two instances share the calls: both have sent some of 20 responses", async () => {
    await using app = new WireApp(protocol);
    const servers = await Promise.all(["greeter-1", "greeter-2"].map((instance) => serveGreeter(protocol, {}, { instance })));
    servers.forEach((server) => app.add(() => stopProcess(server)));
    const responded: string[] = [];
    const clients = await app.clients({ greeter: servers.map(({ address }) => address) }, (_, instance) => responded.push(instance));
    const client = clients.of("greeter", GreeterService);
    // Until both are connected the first one may respond alone.
    while (new Set(responded).size < 2) await client.greet(tea, callOf());
    responded.length = 0;
    for (let n = 0; n < 20; n++) await client.greet(tea, callOf());
    assert.deepEqual([...new Set(responded)].toSorted(), ["greeter-1", "greeter-2"]);
    assert.equal(responded.length, 20);
  });

  it("GW-17: refusals and streams name their instance too", async () => {
    await using app = new WireApp(protocol);
    const server = await serveGreeter(protocol, {
      async *watch() {
        yield {};
      },
    });
    app.add(() => stopProcess(server));
    const responded: string[] = [];
    const client = (await app.clients({ greeter: [server.address] }, (_, instance) => responded.push(instance))).of(
      "greeter",
      GreeterService,
    );
    await assert.rejects(client.greet({ sku: "", quantity: 0 }, callOf()), { reason: "INVALID_REQUEST" });
    await Array.fromAsync(client.watch(tea, callOf()));
    assert.deepEqual(responded, ["test-1", "test-1"]);
  });

  it("API-08: another address is used while one is unavailable, and what is available again at the first one", async () => {
    await using app = new WireApp(protocol);
    const [first, second] = await Promise.all([
      serveGreeter(protocol, {}, { instance: "first" }),
      serveGreeter(protocol, {}, { instance: "second" }),
    ]);
    app.add(() => Promise.all([stopProcess(first), stopProcess(second)]));
    const responded = new Set<string>();
    const client = (await app.clients({ greeter: [first.address, second.address] }, (_, instance) => responded.add(instance))).of(
      "greeter",
      GreeterService,
    );
    const until = async (instance: string) => {
      responded.clear();
      for (const endsMs = performance.now() + 20_000; !responded.has(instance) && performance.now() < endsMs;)
        await client.buy(tea, callOf({ idempotencyKey: "key" }));
      assert.ok(responded.has(instance), `${instance} did not respond`);
    };
    await until("first");
    await until("second");
    await stopProcess(first);
    await until("second");
    const third = await serveGreeter(protocol, {}, { instance: "third", port: first.port });
    app.add(() => stopProcess(third));
    await until("third");
  });

  it("RES-08 GW-17: an instance that stops under load finishes calls under way; no call fails while there is another", async () => {
    await using app = new WireApp(protocol);
    const greet = async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return {};
    };
    const [first, second] = await Promise.all([
      serveGreeter(protocol, { greet }, { instance: "first" }),
      serveGreeter(protocol, { greet }, { instance: "second" }),
    ]);
    app.add(() => Promise.all([stopProcess(first), stopProcess(second)]));
    const responded = new Map<string, number>();
    const clients = await app.clients({ greeter: [first.address, second.address] }, (_, instance) => {
      responded.set(instance, (responded.get(instance) ?? 0) + 1);
    });
    const client = clients.of("greeter", GreeterService);
    while (responded.size < 2) await client.greet(tea, callOf());
    let over = false;
    const failures: unknown[] = [];
    // Without a key: what fails is not tried again.
    const workers = Array.from({ length: 8 }, async () => {
      while (!over) await client.greet(tea, callOf()).catch((error: unknown) => failures.push(error));
    });
    const count = async (instance: string, more: number) => {
      const enough = (responded.get(instance) ?? 0) + more;
      while ((responded.get(instance) ?? 0) < enough && failures.length === 0) await new Promise((resolve) => setImmediate(resolve));
    };
    await count("first", 50);
    await stopProcess(first);
    await count("second", 200);
    over = true;
    await Promise.all(workers);
    assert.deepEqual(failures, []);
    responded.clear();
    for (let n = 0; n < 10; n++) await client.greet(tea, callOf());
    assert.deepEqual([...responded.keys()], ["second"]);
  });

  it("RES-08: stopping the server first ends streams too, and finishes calls under way", async () => {
    await using app = new WireApp(protocol);
    const finish = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const server = await serveGreeter(protocol, {
      async greet() {
        begun.resolve();
        await finish.promise;
        return { id: "thg_1" };
      },
      async *watch(_, call) {
        yield {};
        await new Promise((resolve) => call.signal.addEventListener("abort", resolve));
      },
    });
    app.add(() => stopProcess(server));
    const client = (await app.clients({ greeter: [server.address] })).of("greeter", GreeterService);
    const reply = client.greet(tea, callOf());
    await begun.promise;
    const first = Promise.withResolvers<void>();
    const reading = (async () => {
      for await (const _ of client.watch(tea, callOf())) first.resolve();
    })();
    const ended = assert.rejects(reading, { reason: "DEPENDENCY_UNAVAILABLE" });
    await first.promise;
    const stopped = server.stop();
    await ended;
    finish.resolve();
    assert.equal((await reply).id, "thg_1");
    await stopped;
  });

  it("RES-01: an unavailable callee is not called for a while, and called again when it is available", async () => {
    await using app = new WireApp(protocol);
    const server = await serveGreeter(protocol);
    const remotes = await remotesOver(protocol, { greeter: [server.address] });
    app.add(() => remotes.close());
    const client = createInProcessRpc({ log: silentLog, remotes }).clientsFor("orders").of("greeter", GreeterService);
    const state = () => remotes.figures()[0]?.breaker;
    const failed = () => assert.rejects(client.greet(tea, callOf()), { reason: "DEPENDENCY_UNAVAILABLE" });
    await client.greet(tea, callOf());
    await stopProcess(server);
    // The earlier successes count too, and a new window may begin in between.
    for (let n = 0; n < 50 && state() !== "open"; n++) await failed();
    assert.equal(state(), "open");
    await failed();
    const again = await serveGreeter(protocol, {}, { port: server.port });
    app.add(() => stopProcess(again));
    const endsMs = performance.now() + 30_000;
    const succeeded = () =>
      client.greet(tea, callOf()).then(
        () => true,
        () => false,
      );
    while (!(await succeeded())) {
      assert.ok(performance.now() < endsMs, "it stayed open");
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(state(), "closed");
  });

  it("a server that does not listen yet is waited for at the start; later a call of it fails at once", async () => {
    await using app = new WireApp(protocol);
    const early = await serveGreeter(protocol);
    await stopProcess(early);
    const client = (await app.clients({ greeter: [early.address] })).of("greeter", GreeterService);
    const waiting = client.greet(tea, callOf());
    const server = await serveGreeter(protocol, {}, { port: early.port });
    await waiting;
    await stopProcess(server);
    await assert.rejects(client.greet(tea, callOf({ deadlineMs: performance.now() + 10_000 })), { reason: "DEPENDENCY_UNAVAILABLE" });
  });
}
