import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createConnection } from "node:net";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { describe, it } from "node:test";
import { refusalIn, refuse } from "../errors/refusal.ts";
import type { LogFields, Logger } from "../telemetry/logger.ts";
import { Call } from "../call/call.ts";
import type { CallInit } from "../call/call.ts";
import { tokenCallers } from "./callers.ts";
import type { Callers } from "./callers.ts";
import { createInProcessRpc } from "./in-process.ts";
import { openRemotes } from "./remotes.ts";
import { greeterHandlers, GreeterService } from "./rpc.contract.ts";
import type { GreeterHandlers } from "./rpc.contract.ts";
import { implement } from "./rpc.ts";
import type { Clients } from "./rpc.ts";
import { callers, remotesOver, serveOver, silentLog } from "./test-wire.ts";
import type { TestServer, TestServerOptions, WireProtocol } from "./test-wire.ts";
import { encodeFacts, wireHeaders } from "./wire-call.ts";

/** Sends a request as a client that is not ours does; returns the reason of the refusal, "succeeded", or what else came of it. */
export type SendRaw = (
  address: string,
  request: { readonly path: string; readonly headers: Readonly<Record<string, string>>; readonly body?: Uint8Array },
) => Promise<string>;

export interface WireUnderTest {
  readonly protocol: WireProtocol;
  readonly send: SendRaw;
  /** A good request's path and body: `greet` with a line of tea. */
  readonly path: string;
  readonly body: Uint8Array;
}

/** What every wire does alike beyond what every rpc engine does: who may call, how instances share the work, what other clients get. */
export function wireContract({ protocol, send, path, body }: WireUnderTest): void {
  const greeter = (handlers: Partial<GreeterHandlers> = {}) => ({
    greeter: [implement(GreeterService, { ...greeterHandlers, ...handlers })],
  });
  const serve = (handlers?: Partial<GreeterHandlers>, options?: Partial<TestServerOptions>) =>
    serveOver(protocol, { services: greeter(handlers), ...options });

  describe(`wire: ${protocol}`, { concurrency: true }, () => {
    it("GW-17: two instances share the calls: both have sent some of 20 responses", async () => {
      await using app = new App();
      const servers = await Promise.all(["greeter-1", "greeter-2"].map((instance) => serve({}, { instance })));
      servers.forEach((server) => app.add(() => stop(server)));
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
      await using app = new App();
      const server = await serve({
        async *watch() {
          yield {};
        },
      });
      app.add(() => stop(server));
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
      await using app = new App();
      const [first, second] = await Promise.all([serve({}, { instance: "first" }), serve({}, { instance: "second" })]);
      app.add(() => Promise.all([stop(first), stop(second)]));
      const responded = new Set<string>();
      const client = (await app.clients({ greeter: [first.address, second.address] }, (_, instance) => responded.add(instance))).of(
        "greeter",
        GreeterService,
      );
      const until = async (instance: string) => {
        responded.clear();
        for (const endsMs = performance.now() + 20_000; !responded.has(instance) && performance.now() < endsMs;)
          await client.greet(tea, callOf({ idempotencyKey: "key" }));
        assert.ok(responded.has(instance), `${instance} did not respond`);
      };
      await until("first");
      await until("second");
      await stop(first);
      await until("second");
      const third = await serve({}, { instance: "third", port: first.port });
      app.add(() => stop(third));
      await until("third");
    });

    it("RES-08 GW-17: an instance that stops under load finishes calls under way; no call fails while there is another", async () => {
      await using app = new App();
      const greet = async () => {
        await new Promise((resolve) => setImmediate(resolve));
        return {};
      };
      const [first, second] = await Promise.all([serve({ greet }, { instance: "first" }), serve({ greet }, { instance: "second" })]);
      app.add(() => Promise.all([stop(first), stop(second)]));
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
      await stop(first);
      await count("second", 200);
      over = true;
      await Promise.all(workers);
      assert.deepEqual(failures, []);
      responded.clear();
      for (let n = 0; n < 10; n++) await client.greet(tea, callOf());
      assert.deepEqual([...responded.keys()], ["second"]);
    });

    it("RES-08: stopping the server first ends streams too, and finishes calls under way", async () => {
      await using app = new App();
      const finish = Promise.withResolvers<void>();
      const begun = Promise.withResolvers<void>();
      const server = await serve({
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
      app.add(() => stop(server));
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

    it("RES-03: a deadline of 1 s at the edge ends all work behind it, two hops away too", async () => {
      await using app = new App();
      const over: Promise<number>[] = [];
      const clients = await twoHops(app, (call) => {
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

    it("RES-03: a caller that disconnects ends all work behind it", async () => {
      await using app = new App();
      const disconnected = new AbortController();
      const over: Promise<unknown>[] = [];
      const clients = await twoHops(app, (call) => {
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

    it("ID-12 SEC-01: a call without a token, or with another's, is unauthenticated", async () => {
      await using app = new App();
      const server = await serve();
      app.add(() => stop(server));
      const showing = async (shown: Pick<Callers, "token">, caller = "orders") => {
        const services = new Map([["greeter", { protocol, addresses: [server.address] }]]);
        const remotes = await openRemotes({ services, callers: { ...callers, ...shown }, log: silentLog });
        const client = createInProcessRpc({ log: silentLog, remotes }).clientsFor(caller).of("greeter", GreeterService);
        const outcome = await client.inside(tea, callOf()).then(
          () => "succeeded",
          (error: unknown) => refusalIn(error)?.reason,
        );
        remotes.close();
        return outcome;
      };
      assert.equal(await showing({ token: callers.token }), "succeeded");
      assert.equal(await showing({ token: () => undefined }), "UNAUTHENTICATED");
      assert.equal(await showing({ token: () => callers.token("catalog") }), "UNAUTHENTICATED");
      assert.equal(await showing(tokenCallers(randomBytes(32))), "UNAUTHENTICATED");
      assert.equal(await showing({ token: () => "Bearer " }), "UNAUTHENTICATED");
      assert.equal(await showing({ token: callers.token }, ""), "UNAUTHENTICATED");
    });

    it("SEC-01: a caller that is not on the method's list is refused, though its token is right", async () => {
      await using app = new App();
      const server = await serve();
      app.add(() => stop(server));
      const of = async (caller: string) =>
        (await app.clients({ greeter: [server.address] }, undefined, caller)).of("greeter", GreeterService);
      await (await of("orders")).ledger(tea, callOf());
      await assert.rejects((await of("catalog")).ledger(tea, callOf()), { reason: "PERMISSION_DENIED" });
      await assert.rejects((await of("gateway")).ledger(tea, callOf()), { reason: "PERMISSION_DENIED" });
    });

    it("SEC-01: a request that is not a call of ours is refused, and does no harm", async () => {
      await using app = new App();
      const faults: LogFields[] = [];
      let seen = 0;
      const log: Logger = { ...silentLog, error: (fields) => void faults.push(fields), child: () => log };
      const server = await serve({ greet: async () => (seen++, {}) }, { log });
      app.add(() => stop(server));
      const { address } = server;
      const good: Record<string, string> = {
        [wireHeaders.service]: "greeter",
        [wireHeaders.caller]: "orders",
        [wireHeaders.token]: callers.token("orders")!,
        [wireHeaders.facts]: encodeFacts(callOf()),
      };
      const { [wireHeaders.service]: _, ...withoutService } = good;
      const { [wireHeaders.token]: __, ...withoutToken } = good;
      assert.equal(await send(address, { path, headers: good, body }), "succeeded");
      const refused: [request: Parameters<SendRaw>[1], expected: RegExp][] = [
        [{ path, headers: {}, body }, /^UNAUTHENTICATED$/],
        [{ path, headers: withoutToken, body }, /^UNAUTHENTICATED$/],
        [{ path, headers: withoutToken, body: randomBytes(100) }, /^UNAUTHENTICATED$|INTERNAL/],
        [{ path, headers: withoutService, body }, /^DEPENDENCY_UNAVAILABLE$/],
        [{ path, headers: { ...good, [wireHeaders.service]: "tailor" }, body }, /^DEPENDENCY_UNAVAILABLE$/],
        [{ path: `${path}Elsewhere`, headers: good, body }, /^DEPENDENCY_UNAVAILABLE$|UNIMPLEMENTED/],
        [{ path: "/", headers: good, body }, /^DEPENDENCY_UNAVAILABLE$|UNIMPLEMENTED/],
        [{ path, headers: good, body: Buffer.alloc(100, 0xff) }, /^INVALID_REQUEST$|INTERNAL/],
        [{ path, headers: { ...good, [wireHeaders.caller]: "x".repeat(100_000) }, body }, /./],
        [
          { path, headers: { ...good, ...Object.fromEntries(Array.from({ length: 3_000 }, (_, n) => [`x-${n}`, "y".repeat(50)])) }, body },
          /./,
        ],
      ];
      for (let n = 0; n < 30; n++)
        refused.push([
          { path, headers: { ...good, [wireHeaders.facts]: randomBytes(n * 10).toString("base64url") }, body },
          /^INVALID_REQUEST$/,
        ]);
      for (const [request, expected] of refused) {
        const outcome = await send(address, request);
        assert.match(outcome, expected, JSON.stringify(request).slice(0, 300));
        assert.notEqual(outcome, "succeeded");
      }
      for (let n = 0; n < 20; n++) assert.doesNotMatch(await sendBytes(server, randomBytes(2_000)), /thg_/);
      const http1 = Buffer.from(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}`);
      assert.doesNotMatch(await sendBytes(server, http1), / 200 /);
      assert.equal(await send(address, { path, headers: good, body }), "succeeded");
      assert.equal(seen, 2);
      assert.deepEqual(faults, []);
    });

    it("a message that is too large is refused, once, and the connection goes on", async () => {
      await using app = new App();
      const server = await serve({ inside: async () => ({ displayName: "n".repeat(17 * 1024 * 1024) }) });
      app.add(() => stop(server));
      const client = (await app.clients({ greeter: [server.address] })).of("greeter", GreeterService);
      const outcome = (call: Promise<unknown>) =>
        call.then(
          () => "succeeded",
          (error: unknown) => refusalIn(error)?.code,
        );
      assert.equal(await outcome(client.inside(tea, callOf({ idempotencyKey: "key" }))), "internal");
      assert.equal(
        await outcome(client.greet({ sku: "n".repeat(17 * 1024 * 1024), quantity: 1 }, callOf({ idempotencyKey: "key" }))),
        "internal",
      );
      assert.equal(await outcome(client.greet(tea, callOf())), "succeeded");
    });

    it("a refusal of hundreds of fields arrives, if not with all of them", async () => {
      await using app = new App();
      const fields = Array.from({ length: 2_000 }, (_, n) => ({ field: `lines[${n}].quantity`, reason: "TOO_MANY", message: "at most 2" }));
      const server = await serve({
        inside: async () => {
          throw refuse({ reason: "INVALID_REQUEST", code: "invalid_argument", fields });
        },
      });
      app.add(() => stop(server));
      const client = (await app.clients({ greeter: [server.address] })).of("greeter", GreeterService);
      await assert.rejects(client.inside(tea, callOf()), (error) => {
        const refusal = refusalIn(error);
        assert.equal(refusal?.reason, "INVALID_REQUEST");
        assert.ok(refusal.fields.length >= 50);
        return true;
      });
    });

    it("RES-01: an unavailable callee is not called for a while, and called again when it is available", async () => {
      await using app = new App();
      const server = await serve();
      const remotes = await remotesOver(protocol, { greeter: [server.address] });
      app.add(() => remotes.close());
      const client = createInProcessRpc({ log: silentLog, remotes }).clientsFor("orders").of("greeter", GreeterService);
      const state = () => remotes.figures()[0]?.breaker;
      const failed = () => assert.rejects(client.greet(tea, callOf()), { reason: "DEPENDENCY_UNAVAILABLE" });
      await client.greet(tea, callOf());
      await stop(server);
      // The earlier successes count too, and a new window may begin in between.
      for (let n = 0; n < 50 && state() !== "open"; n++) await failed();
      assert.equal(state(), "open");
      await failed();
      const again = await serve({}, { port: server.port });
      app.add(() => stop(again));
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
      await using app = new App();
      const early = await serve();
      await stop(early);
      const client = (await app.clients({ greeter: [early.address] })).of("greeter", GreeterService);
      const waiting = client.greet(tea, callOf());
      const server = await serve({}, { port: early.port });
      await waiting;
      await stop(server);
      await assert.rejects(client.greet(tea, callOf({ deadlineMs: performance.now() + 10_000 })), { reason: "DEPENDENCY_UNAVAILABLE" });
    });
  });

  async function twoHops(app: App, seen: (call: Call) => Promise<unknown>): Promise<Clients> {
    const inner = await serveOver(protocol, {
      services: { store: [implement(GreeterService, { ...greeterHandlers, inside: async (_, call) => (await seen(call), {}) })] },
    });
    app.add(() => stop(inner));
    const ahead = await app.clients({ store: [inner.address] }, undefined, "greeter");
    const outer = await serve({
      greet: async (request, call) => {
        void seen(call);
        return ahead.of("store", GreeterService).inside(request, call);
      },
    });
    app.add(() => stop(outer));
    const clients = await app.clients({ greeter: [outer.address] }, undefined, "gateway");
    // Connected on both hops, so that the time of the test's call is its own.
    await clients.of("greeter", GreeterService).buy(tea, callOf());
    await ahead
      .of("store", GreeterService)
      .ledger(tea, callOf())
      .catch(() => undefined);
    return clients;
  }

  /** What is opened in a test, closed in reverse. */
  class App {
    readonly #closing: (() => unknown)[] = [];

    add(close: () => unknown): void {
      this.#closing.push(close);
    }

    async clients(
      services: Readonly<Record<string, readonly string[]>>,
      onResponse?: (service: string, instance: string) => void,
      caller = "orders",
    ): Promise<Clients> {
      const remotes = await remotesOver(protocol, services, onResponse === undefined ? {} : { onResponse });
      this.add(() => remotes.close());
      return createInProcessRpc({ log: silentLog, remotes }).clientsFor(caller);
    }

    async [Symbol.asyncDispose](): Promise<void> {
      for (const close of this.#closing.toReversed()) await close();
    }
  }
}

const tea = { sku: "tea", quantity: 1 } as const;
const callOf = (init: Partial<CallInit> = {}) => new Call({ caller: "test", deadlineMs: performance.now() + 20_000, ...init });

/** As a process stops: its server first. */
async function stop({ server, rpc }: TestServer): Promise<void> {
  await server.stop();
  await rpc.stop();
}

/** The response to bytes that are not of the protocol, until the other side closes the connection or sends nothing more. */
function sendBytes({ port }: TestServer, bytes: Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = createConnection(port, "127.0.0.1", () => socket.end(bytes));
    socket.on("data", (chunk) => (text += chunk.toString("latin1")));
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(text));
    socket.setTimeout(1_000, () => socket.destroy());
  });
}
