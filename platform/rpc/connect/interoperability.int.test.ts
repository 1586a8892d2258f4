import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { performance } from "node:perf_hooks";
import { after, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import type { Client, Interceptor, ServiceImpl, Transport as ConnectTransport } from "@connectrpc/connect";
import { connectNodeAdapter, createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { createConnectTransport as createWebTransport } from "@connectrpc/connect-web";
import { ProblemSchema } from "@kontor/contracts/gen/kontor/rpc/v1/problem_pb.js";
import { LineSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import type { Thing } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { Call } from "../../call/call.ts";
import { contractOf } from "../../contract/contract.ts";
import { refusalIn, refuse } from "../../errors/refusal.ts";
import { createHttpTransport } from "../http-transport.ts";
import { greeterHandlers, GreeterService } from "../test-greeter.ts";
import type { GreeterHandlers } from "../test-greeter.ts";
import { implement } from "../rpc.ts";
import { callers, serveOver } from "../test-wire.ts";
import type { WireProtocol } from "../test-wire.ts";
import { TransportFailure } from "../transport.ts";
import { encodeFacts, wireHeaders } from "../wire-call.ts";
import { problemOf } from "../wire-problem.ts";

const closing: (() => unknown)[] = [];
after(async () => {
  for (const close of closing.toReversed()) await close();
});

const tea = { sku: "tea", quantity: 3 };
const callOf = (signal?: AbortSignal) => new Call({ caller: "orders", deadlineMs: performance.now() + 20_000, signal });

const outOfStock = refuse({
  reason: "OUT_OF_STOCK",
  code: "failed_precondition",
  message: "Only 2 are left",
  details: { free: 2 },
  fields: [{ field: "quantity", reason: "TOO_MANY", message: "at most 2" }],
  retryAfterMs: 3000,
});

/** What a service of ours sends besides the request. */
const asOrders: Interceptor = (next) => (request) => {
  request.header.set(wireHeaders.service, "greeter");
  request.header.set(wireHeaders.caller, "orders");
  request.header.set(wireHeaders.token, callers.token("orders")!);
  request.header.set(wireHeaders.facts, encodeFacts(callOf()));
  return next(request);
};

type Connect = (baseUrl: string, interceptors: Interceptor[]) => ConnectTransport;

const clients: readonly (readonly [name: string, protocol: WireProtocol, connect: Connect])[] = [
  ...[false, true].flatMap((useBinaryFormat) => [
    [
      `connect-node, ${useBinaryFormat ? "binary" : "JSON"}`,
      "http",
      (baseUrl: string, interceptors: Interceptor[]) =>
        createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat, interceptors }),
    ] as const,
    [
      `connect-web, ${useBinaryFormat ? "binary" : "JSON"}`,
      "http",
      (baseUrl: string, interceptors: Interceptor[]) => createWebTransport({ baseUrl, useBinaryFormat, interceptors }),
    ] as const,
  ]),
  ["connect-node, gRPC", "grpc", (baseUrl, interceptors) => createGrpcTransport({ baseUrl, interceptors })],
];

for (const [name, protocol, connect] of clients)
  describe(`clients of others: ${name}`, { concurrency: true }, () => {
    async function setup(handlers: Partial<GreeterHandlers> = {}, interceptors = [asOrders]): Promise<Client<typeof GreeterService>> {
      const services = { greeter: [implement(GreeterService, { ...greeterHandlers, ...handlers })] };
      const server = await serveOver(protocol, { services });
      closing.push(() => server.stop());
      return createClient(GreeterService, connect(`http://${server.address}`, interceptors));
    }

    it("a unary call carries its request and its response", async () => {
      const client = await setup({
        greet: async ({ sku, quantity }) => ({
          id: sku,
          version: quantity,
          lines: [{ sku, quantity, unitPrice: { currency: "EUR", amount: "1.00" } }],
        }),
      });
      const { id, version, lines } = await client.greet(tea);
      assert.deepEqual([id, version, lines[0]?.unitPrice?.amount], ["tea", 3, "1.00"]);
    });

    it("an error has its code, its message and the refusal as its detail", async () => {
      const client = await setup({ greet: () => Promise.reject(outOfStock) });
      const error = await errorOf(client.greet(tea));
      assert.deepEqual([error.code, error.rawMessage], [Code.FailedPrecondition, "Only 2 are left"]);
      assert.deepEqual(error.findDetails(ProblemSchema), [problemOf(outOfStock)]);
    });

    it("a client without our headers is unauthenticated", async () => {
      const client = await setup({}, []);
      assert.equal((await errorOf(client.greet(tea))).code, Code.Unauthenticated);
      assert.equal((await errorOf(Array.fromAsync(client.watch(tea)))).code, Code.Unauthenticated);
    });

    it("a request that breaks the contract's rules is an invalid argument, with its fields", async () => {
      const client = await setup();
      const error = await errorOf(client.greet({ sku: "", quantity: 0 }));
      assert.equal(error.code, Code.InvalidArgument);
      const [problem] = error.findDetails(ProblemSchema);
      assert.deepEqual(problem?.fields.map(({ field }) => field).toSorted(), ["quantity", "sku"]);
    });

    it("a stream delivers all in order", async () => {
      const client = await setup({
        async *watch({ sku }) {
          for (let version = 1; version <= 200; version++) yield { id: sku, version };
        },
      });
      const things = await Array.fromAsync(client.watch(tea));
      assert.deepEqual(
        things.map(({ version }) => version),
        Array.from({ length: 200 }, (_, n) => n + 1),
      );
      assert.deepEqual(await Array.fromAsync((await setup()).watch(tea)), []);
    });

    it("a stream ends with its error, before the first message and after it", async () => {
      for (const messages of [0, 1]) {
        const client = await setup({
          async *watch() {
            for (let n = 0; n < messages; n++) yield {};
            throw outOfStock;
          },
        });
        const received: Thing[] = [];
        const error = await errorOf(
          (async () => {
            for await (const thing of client.watch(tea)) received.push(thing);
          })(),
        );
        assert.equal(received.length, messages);
        assert.equal(error.code, Code.FailedPrecondition);
        assert.deepEqual(error.findDetails(ProblemSchema), [problemOf(outOfStock)]);
      }
    });

    it("a time-out arrives, and ends the call on both sides", async () => {
      const { promise: ended, resolve: end } = Promise.withResolvers<number>();
      const client = await setup({
        async greet(_, call) {
          const leftMs = call.remainingMs();
          await aborted(call.signal);
          end(leftMs);
          return {};
        },
      });
      assert.equal((await errorOf(client.greet(tea, { timeoutMs: 500 }))).code, Code.DeadlineExceeded);
      const leftMs = await ended;
      assert.ok(leftMs <= 500, `${leftMs} ms`);
    });

    it("a client that cancels ends the work behind its call, and behind its stream", async () => {
      const cancel = new AbortController();
      const begun = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
      const ended = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
      const client = await setup({
        async greet(_, call) {
          begun[0].resolve();
          await aborted(call.signal);
          ended[0].resolve();
          return {};
        },
        async *watch(_, call) {
          begun[1].resolve();
          yield {};
          await aborted(call.signal);
          ended[1].resolve();
        },
      });
      const outcomes = [
        errorOf(client.greet(tea, { signal: cancel.signal })),
        errorOf(Array.fromAsync(client.watch(tea, { signal: cancel.signal }))),
      ];
      await Promise.all(begun.map(({ promise }) => promise));
      cancel.abort();
      for (const { code } of await Promise.all(outcomes)) assert.equal(code, Code.Canceled);
      await Promise.all(ended.map(({ promise }) => promise));
    });
  });

for (const encoding of ["json", "proto"] as const)
  describe(`our client of others' servers: connect-node, ${encoding}`, { concurrency: true }, () => {
    async function setup(implementation: Partial<ServiceImpl<typeof GreeterService>>) {
      const server = createServer(connectNodeAdapter({ routes: (router) => void router.service(GreeterService, implementation) }));
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const { port } = server.address() as AddressInfo; // it listens on a port
      const transport = createHttpTransport({ service: "greeter", addresses: [`127.0.0.1:${port}`], callers }, encoding);
      closing.push(() => (transport.close(), server.close()));
      const contracts = { greet: contractOf(GreeterService.method.greet), watch: contractOf(GreeterService.method.watch) };
      const request = create(LineSchema, tea);
      return {
        greet: (call = callOf()) => transport.unary(contracts.greet, request, call),
        watch: (call = callOf()) => Array.fromAsync(transport.stream(contracts.watch, request, call)),
      };
    }

    it("calls and streams carry their messages", async () => {
      const { greet, watch } = await setup({
        greet: ({ sku }) => ({ id: sku }),
        async *watch() {
          for (let version = 1; version <= 200; version++) yield { version };
        },
      });
      assert.equal(((await greet()) as Thing).id, "tea");
      const versions = ((await watch()) as Thing[]).map(({ version }) => version);
      assert.deepEqual(
        versions,
        Array.from({ length: 200 }, (_, n) => n + 1),
      );
    });

    it("an error with our detail is that refusal, in a stream too", async () => {
      const { code, message } = { code: Code.FailedPrecondition, message: "Only 2 are left" };
      const error = new ConnectError(message, code, undefined, [{ desc: ProblemSchema, value: problemOf(outOfStock) }]);
      const { greet, watch } = await setup({
        greet: () => Promise.reject(error),
        // oxlint-disable-next-line require-yield -- a stream that fails at its first message
        async *watch() {
          throw error;
        },
      });
      for (const call of [greet, watch]) await assert.rejects(call(), (thrown) => (assert.deepEqual(refusalIn(thrown), outOfStock), true));
    });

    it("an error without it is judged by its code, and a method that is missing was not executed", async () => {
      const failing = async (code: Code) => (await setup({ greet: () => Promise.reject(new ConnectError("no", code)) })).greet();
      await assert.rejects(failing(Code.DeadlineExceeded), { reason: "DEADLINE_EXCEEDED" });
      await assert.rejects(failing(Code.ResourceExhausted), { reason: "INTERNAL_ERROR" });
      await assert.rejects(failing(Code.DataLoss), { name: "TransportFailure", notExecuted: false });
      const missing = await setup({});
      await assert.rejects(missing.greet(), (error) => error instanceof TransportFailure && error.notExecuted);
    });

    it("our deadline arrives, and our cancelling ends the work over there", async () => {
      const cancel = new AbortController();
      const { promise: ended, resolve: end } = Promise.withResolvers<number | undefined>();
      const { greet } = await setup({
        async greet(_, context) {
          const leftMs = context.timeoutMs();
          cancel.abort();
          await aborted(context.signal);
          end(leftMs);
          return {};
        },
      });
      await assert.rejects(greet(callOf(cancel.signal)), { reason: "DEADLINE_EXCEEDED" });
      const leftMs = await ended;
      assert.ok(leftMs !== undefined && leftMs > 0 && leftMs <= 20_000, `${leftMs} ms`);
    });
  });

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

async function errorOf(call: Promise<unknown>): Promise<ConnectError> {
  const error: unknown = await call.then(
    () => assert.fail("it succeeded"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof ConnectError, String(error));
  return error;
}
