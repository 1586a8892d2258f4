import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { IncomingHttpHeaders } from "node:http2";
import { it } from "node:test";
import * as grpc from "@grpc/grpc-js";
import { contractOf } from "../contract/contract.ts";
import { GrpcHandlers } from "./grpc-handlers.ts";
import { callStreamDefinition, definitionOf } from "./grpc-methods.ts";
import { createInProcessRpc } from "./in-process.ts";
import { implement } from "./rpc.ts";
import { ServerCalls } from "./server-calls.ts";
import { callOf, greeterHandlers, GreeterService, tea, turns } from "./test-greeter.ts";
import { callers, silentLog } from "./test-wire.ts";
import { serveGreeter, stopProcess, WireApp } from "./test-wire-app.ts";
import { wireHeaders } from "./wire-call.ts";

const greetPath = `/${GreeterService.typeName}/Greet`;

/** The HTTP/2 streams that this process's clients open from now on, by path. */
function watchStreams() {
  const opened = new Map<string, number>();
  const count = (message: unknown) => {
    const { ":path": path = "" } = (message as { readonly headers: IncomingHttpHeaders }).headers;
    opened.set(path, (opened.get(path) ?? 0) + 1);
  };
  subscribe("http2.client.stream.created", count);
  return { of: (path: string) => opened.get(path) ?? 0, [Symbol.dispose]: () => void unsubscribe("http2.client.stream.created", count) };
}

it("unary calls of services share one gRPC stream, as soon as there is one", async () => {
  await using app = new WireApp("grpc");
  const server = await serveGreeter("grpc");
  app.add(() => stopProcess(server));
  const client = (await app.clients({ greeter: [server.address] })).of("greeter", GreeterService);
  using streams = watchStreams();
  for (let single = -1; single !== streams.of(greetPath);) {
    single = streams.of(greetPath);
    await client.greet(tea, callOf());
    await turns(5);
  }
  const before = streams.of(greetPath);
  await Promise.all(Array.from({ length: 100 }, () => client.greet(tea, callOf())));
  assert.equal(streams.of(greetPath), before);
  // One to use, and one that has shown that there is no second server.
  assert.ok(streams.of(callStreamDefinition.path) <= 2);
});

it("a server of an earlier version, without call streams, gets single calls", async () => {
  await using app = new WireApp("grpc");
  const rpc = createInProcessRpc({ log: silentLog });
  rpc.serve("greeter", [implement(GreeterService, greeterHandlers)]);
  const options = { methods: rpc.methods, callers, ready: async () => true, instance: "old-1", log: silentLog };
  const handlers = new GrpcHandlers(options, new ServerCalls(options)).of(GreeterService);
  const { method } = contractOf(GreeterService.method.greet);
  const server = new grpc.Server();
  server.addService({ greet: definitionOf(GreeterService, method, false) }, { greet: handlers["greet"]! });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  app.add(() => server.forceShutdown());
  const client = (await app.clients({ greeter: [`127.0.0.1:${port}`] })).of("greeter", GreeterService);
  using streams = watchStreams();
  for (let n = 0; n < 20; n++) {
    await client.greet(tea, callOf());
    await turns(1);
  }
  assert.equal(streams.of(greetPath), 20);
  assert.equal(streams.of(callStreamDefinition.path), 1);
});

it("ID-12 SEC-01: a call stream is refused to those who cannot prove their name, and carries nobody else's calls", async () => {
  await using app = new WireApp("grpc");
  let seen = 0;
  const server = await serveGreeter("grpc", { greet: async () => (seen++, {}) });
  app.add(() => stopProcess(server));
  const client = new grpc.Client(server.address, grpc.credentials.createInsecure());
  app.add(() => client.close());
  const opened = async (headers: Readonly<Record<string, string>>, sent?: Buffer) => {
    const metadata = new grpc.Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    const { path, requestSerialize, responseDeserialize } = callStreamDefinition;
    const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
    return new Promise<string>((resolve) => {
      stream.on("metadata", () => (sent === undefined ? resolve("opened") : stream.write(sent)));
      stream.on("error", ({ code }: grpc.ServiceError) => resolve(grpc.status[code]));
    }).finally(() => stream.cancel());
  };
  const good = { [wireHeaders.service]: "greeter", [wireHeaders.caller]: "orders", [wireHeaders.token]: callers.token("orders")! };
  assert.equal(await opened(good), "opened");
  assert.equal(await opened({}), "UNAUTHENTICATED");
  assert.equal(await opened({ ...good, [wireHeaders.caller]: "catalog" }), "UNAUTHENTICATED");
  assert.equal(await opened({ ...good, [wireHeaders.token]: "Bearer" }), "UNAUTHENTICATED");
  assert.equal(await opened({ ...good, [wireHeaders.service]: "tailor" }), "UNAVAILABLE");
  for (const sent of [Buffer.alloc(100), Buffer.alloc(100, 0xff)]) assert.equal(await opened(good, sent), "INVALID_ARGUMENT");
  assert.equal(seen, 0);
});
