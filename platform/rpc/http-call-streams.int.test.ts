import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { createServer, request } from "node:http";
import type { ClientRequest, IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { it } from "node:test";
import { callStreamPath, callStreamProtocol } from "./call-stream/upgrade.ts";
import { HttpHandler } from "./http-handler.ts";
import { createInProcessRpc } from "./in-process.ts";
import { implement } from "./rpc.ts";
import { ServerCalls } from "./server-calls.ts";
import { callOf, greeterHandlers, GreeterService, tea, turns } from "./test-greeter.ts";
import { callers, silentLog } from "./test-wire.ts";
import { serveGreeter, stopProcess, WireApp } from "./test-wire-app.ts";
import { wireHeaders } from "./wire-call.ts";

const greetPath = `/${GreeterService.typeName}/Greet`;

/** The requests that this process makes from now on, by path. */
function watchRequests() {
  const made = new Map<string, number>();
  const count = (message: unknown) => {
    const { path } = (message as { readonly request: ClientRequest }).request;
    made.set(path, (made.get(path) ?? 0) + 1);
  };
  subscribe("http.client.request.start", count);
  return { of: (path: string) => made.get(path) ?? 0, [Symbol.dispose]: () => void unsubscribe("http.client.request.start", count) };
}

it("unary calls of services share one connection, as soon as there is one", async () => {
  await using app = new WireApp("http");
  const server = await serveGreeter("http");
  app.add(() => stopProcess(server));
  const client = (await app.clients({ greeter: [server.address] })).of("greeter", GreeterService);
  using requests = watchRequests();
  for (let single = -1; single !== requests.of(greetPath);) {
    single = requests.of(greetPath);
    await client.greet(tea, callOf());
    await turns(5);
  }
  const before = requests.of(greetPath);
  await Promise.all(Array.from({ length: 100 }, () => client.greet(tea, callOf())));
  assert.equal(requests.of(greetPath), before);
  assert.ok(requests.of(callStreamPath) <= 2);
});

it("a server of an earlier version, without call streams, gets single calls", async () => {
  await using app = new WireApp("http");
  const rpc = createInProcessRpc({ log: silentLog });
  rpc.serve("greeter", [implement(GreeterService, greeterHandlers)]);
  const options = { methods: rpc.methods, callers, ready: async () => true, instance: "old-1", log: silentLog };
  const handler = new HttpHandler(options, new ServerCalls(options));
  handler.addMethods();
  const server = createServer((incoming, response) => void handler.handle(incoming, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  app.add(() => server.close());
  const { port } = server.address() as AddressInfo;
  const client = (await app.clients({ greeter: [`127.0.0.1:${port}`] })).of("greeter", GreeterService);
  using requests = watchRequests();
  for (let n = 0; n < 20; n++) {
    await client.greet(tea, callOf());
    await turns(1);
  }
  assert.equal(requests.of(greetPath), 20);
  assert.equal(requests.of(callStreamPath), 1);
});

it("ID-12 SEC-01: a call stream is refused to those who cannot prove their name, and other protocols are ignored", async () => {
  await using app = new WireApp("http");
  let seen = 0;
  const server = await serveGreeter("http", { greet: async () => (seen++, {}) });
  app.add(() => stopProcess(server));
  const opened = (headers: Readonly<Record<string, string>>, path = callStreamPath) =>
    new Promise<number | undefined>((resolve, reject) => {
      const started = request(`http://${server.address}${path}`, { method: "POST", headers: { connection: "upgrade", ...headers } });
      const done = ({ statusCode }: IncomingMessage) => {
        resolve(statusCode);
        started.destroy();
      };
      started.on("upgrade", (response, socket) => (socket.destroy(), done(response)));
      started.on("response", done);
      started.on("error", reject);
      started.end();
    });
  const upgrade = callStreamProtocol;
  const good = { [wireHeaders.service]: "greeter", [wireHeaders.caller]: "orders", [wireHeaders.token]: callers.token("orders")! };
  assert.equal(await opened({ ...good, upgrade }), 101);
  assert.equal(await opened({ upgrade }), 401);
  assert.equal(await opened({ ...good, upgrade, [wireHeaders.caller]: "catalog" }), 401);
  assert.equal(await opened({ ...good, upgrade, [wireHeaders.token]: "Bearer" }), 401);
  assert.equal(await opened({ ...good, upgrade, [wireHeaders.service]: "tailor" }), 503);
  assert.equal(await opened({ ...good, upgrade: "websocket" }), 404);
  assert.equal(await opened({ ...good, upgrade }, "/readyz"), 200);
  assert.equal(seen, 0);
});
