import assert from "node:assert/strict";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { describe, it } from "node:test";
import type { Call } from "../call/call.ts";
import { refusalIn, refuse } from "../errors/refusal.ts";
import { createInProcessRpc } from "./in-process.ts";
import { implement } from "./rpc.ts";
import type { Clients } from "./rpc.ts";
import { callOf, greeterHandlers, GreeterService, tea } from "./test-greeter.ts";
import { readThing } from "./rpc-waits.contract.ts";
import { ReadingService } from "./test-reading.ts";
import { remotesOver, serveOver, silentLog } from "./test-wire.ts";
import type { WireProtocol } from "./test-wire.ts";
import { serveGreeter, stopProcess, WireApp } from "./test-wire-app.ts";
import { wireAccess } from "./wire-access.contract.ts";
import type { WireUnderTest } from "./wire-access.contract.ts";
import { wireInstances } from "./wire-instances.contract.ts";

/** What every wire does alike beyond what every rpc engine does: who may call, how instances share the work, what other clients get. */
export function wireContract(wire: WireUnderTest): void {
  const { protocol } = wire;
  describe(`wire: ${protocol}`, { concurrency: true }, () => {
    wireInstances(protocol);
    wireAccess(wire);

    it("RES-03: a deadline of 1 s at the edge ends all work behind it, two hops away too", async () => {
      await using app = new WireApp(protocol);
      const over: Promise<number>[] = [];
      const clients = await twoHops(protocol, app, (call) => {
        const aborted = new Promise<number>((resolve) => call.signal.addEventListener("abort", () => resolve(performance.now())));
        over.push(aborted);
        return aborted;
      });
      // How late timers are on this machine at the moment.
      const delays = monitorEventLoopDelay({ resolution: 5 });
      delays.enable();
      // On a busy machine a call may not have reached both hops by then.
      for (let startedMs = 0; over.length < 2;) {
        over.length = 0;
        delays.reset();
        startedMs = performance.now();
        const call = callOf({ deadlineMs: startedMs + 1_000 });
        await assert.rejects(clients.of("greeter", GreeterService).greet(tea, call), { reason: "DEADLINE_EXCEEDED" });
        const endsMs = await Promise.all(over);
        const lateMs = delays.max / 1e6;
        for (const endedMs of endsMs)
          assert.ok(
            endedMs - startedMs <= 1_100 + 2 * lateMs,
            `ended after ${endedMs - startedMs} ms, with timers up to ${lateMs} ms late`,
          );
      }
      delays.disable();
    });

    it("RES-08: a server that stops ends reads that wait, which get what is there", async () => {
      const thing = readThing();
      const served = await serveOver(protocol, { services: { reading: [thing.route] } });
      const remotes = await remotesOver(protocol, { reading: [served.address] });
      const read = thing.nextRead();
      const client = createInProcessRpc({ log: silentLog, remotes }).clientsFor("gateway").of("reading", ReadingService);
      const reply = client.read({ sku: "tea", wait: { forMs: 10_000 } }, callOf());
      await read;
      await served.stop();
      assert.equal((await reply).version, 1);
      await served.rpc.stop();
      remotes.close();
    });

    it("RES-03: a caller that disconnects ends all work behind it", async () => {
      await using app = new WireApp(protocol);
      const disconnected = new AbortController();
      const over: Promise<unknown>[] = [];
      const clients = await twoHops(protocol, app, (call) => {
        const aborted = new Promise((resolve) => call.signal.addEventListener("abort", resolve));
        over.push(aborted);
        if (over.length === 2) disconnected.abort();
        return aborted;
      });
      // The deadline is too far away to end it.
      const call = callOf({ signal: disconnected.signal, deadlineMs: performance.now() + 300_000 });
      await assert.rejects(clients.of("greeter", GreeterService).greet(tea, call), { reason: "DEADLINE_EXCEEDED" });
      assert.equal(over.length, 2);
      await Promise.all(over);
    });

    it("a message that is too large is refused, once, and the connection goes on", async () => {
      await using app = new WireApp(protocol);
      const server = await serveGreeter(protocol, { inside: async () => ({ displayName: "n".repeat(17 * 1024 * 1024) }) });
      app.add(() => stopProcess(server));
      const client = (await app.clients({ greeter: [server.address] })).of("greeter", GreeterService);
      const outcome = (call: Promise<unknown>) =>
        call.then(
          () => "succeeded",
          (error: unknown) => refusalIn(error)?.code,
        );
      assert.equal(await outcome(client.inside(tea, callOf({ idempotencyKey: "key" }))), "internal");
      assert.equal(
        await outcome(client.buy({ sku: "n".repeat(17 * 1024 * 1024), quantity: 1 }, callOf({ idempotencyKey: "key" }))),
        "internal",
      );
      assert.equal(await outcome(client.greet(tea, callOf())), "succeeded");
    });

    it("a refusal of hundreds of fields arrives, if not with all of them", async () => {
      await using app = new WireApp(protocol);
      const fields = Array.from({ length: 2_000 }, (_, n) => ({ field: `lines[${n}].quantity`, reason: "TOO_MANY", message: "at most 2" }));
      const server = await serveGreeter(protocol, {
        inside: async () => {
          throw refuse({ reason: "INVALID_REQUEST", code: "invalid_argument", fields });
        },
      });
      app.add(() => stopProcess(server));
      const client = (await app.clients({ greeter: [server.address] })).of("greeter", GreeterService);
      await assert.rejects(client.inside(tea, callOf()), (error) => {
        const refusal = refusalIn(error);
        assert.equal(refusal?.reason, "INVALID_REQUEST");
        assert.ok(refusal.fields.length >= 50);
        return true;
      });
    });
  });
}

async function twoHops(protocol: WireProtocol, app: WireApp, seen: (call: Call) => Promise<unknown>): Promise<Clients> {
  const inner = await serveOver(protocol, {
    services: { store: [implement(GreeterService, { ...greeterHandlers, inside: async (_, call) => (await seen(call), {}) })] },
  });
  app.add(() => stopProcess(inner));
  const ahead = await app.clients({ store: [inner.address] }, undefined, "greeter");
  const outer = await serveGreeter(protocol, {
    greet: async (request, call) => {
      void seen(call);
      return ahead.of("store", GreeterService).inside(request, call);
    },
  });
  app.add(() => stopProcess(outer));
  const clients = await app.clients({ greeter: [outer.address] }, undefined, "gateway");
  // Connected on both hops, so that the time of the test's call is its own.
  await clients.of("greeter", GreeterService).buy(tea, callOf());
  await ahead
    .of("store", GreeterService)
    .ledger(tea, callOf())
    .catch(() => undefined);
  return clients;
}
