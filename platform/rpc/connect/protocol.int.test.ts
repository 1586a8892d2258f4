import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { rootCall } from "../../call/call.ts";
import { refuse } from "../../errors/refusal.ts";
import { greeterHandlers, GreeterService } from "../test-greeter.ts";
import { implement } from "../rpc.ts";
import { callers, serveOver } from "../test-wire.ts";
import type { TestServer } from "../test-wire.ts";
import { encodeFacts, wireHeaders } from "../wire-call.ts";
import { messageEnvelope } from "./envelope.ts";

// What the server says to requests that clients written for the protocol never send.

const greet = `/${GreeterService.typeName}/Greet`;
const watch = `/${GreeterService.typeName}/Watch`;
const tea = JSON.stringify({ sku: "tea", quantity: 1 });

describe("Connect's protocol", () => {
  let server: TestServer;
  before(async () => {
    const inside = () => Promise.reject(refuse({ reason: "OUT_OF_STOCK", code: "failed_precondition" }));
    server = await serveOver("http", { services: { greeter: [implement(GreeterService, { ...greeterHandlers, inside })] } });
  });
  after(() => server.stop());

  interface Request {
    readonly path?: string;
    readonly method?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string | Uint8Array<ArrayBuffer>;
  }

  async function send({ path = greet, method = "POST", headers = {}, body = tea }: Request) {
    const response = await fetch(`http://${server.address}${path}`, {
      method,
      headers: {
        "content-type": path === watch ? "application/connect+json" : "application/json",
        [wireHeaders.service]: "greeter",
        [wireHeaders.caller]: "orders",
        [wireHeaders.token]: callers.token("orders")!,
        [wireHeaders.facts]: encodeFacts(rootCall({ caller: "orders", timeoutMs: 1_000 })),
        ...headers,
      },
      ...(method === "POST" && { body }),
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    const type = response.headers.get("content-type");
    const [flags, text] = type === "application/connect+json" ? [bytes[0], bytes.subarray(5).toString()] : [undefined, bytes.toString()];
    const json = JSON.parse(text) as { readonly code?: string; readonly error?: { readonly code: string } };
    return { status: response.status, type, flags, headers: response.headers, code: json.code ?? json.error?.code };
  }

  it("a good request gets its message, a good stream its end", async () => {
    assert.equal((await send({ headers: { "content-type": "application/json; charset=UTF-8" } })).status, 200);
    const { status, flags, code } = await send({ path: watch, body: messageEnvelope(tea) });
    assert.deepEqual([status, flags, code], [200, 2, undefined]);
  });

  it("another verb is not allowed, and the right one is named", async () => {
    const { status, code, headers } = await send({ method: "GET" });
    assert.deepEqual([status, code, headers.get("allow")], [405, "unimplemented", "POST"]);
  });

  it("another content type is not supported, and the right ones are named", async () => {
    for (const type of ["text/plain", "application/grpc", "application/connect+json"]) {
      const { status, code, headers } = await send({ headers: { "content-type": type } });
      assert.deepEqual([status, code, headers.get("accept-post")], [415, "invalid_argument", "application/json, application/proto"]);
    }
    const { status, headers } = await send({ path: watch, headers: { "content-type": "application/json" } });
    assert.deepEqual([status, headers.get("accept-post")], [415, "application/connect+json, application/connect+proto"]);
  });

  it("a compressed request is unimplemented, and what is accepted is named", async () => {
    const unary = await send({ headers: { "content-encoding": "gzip" } });
    assert.deepEqual([unary.status, unary.code, unary.headers.get("accept-encoding")], [501, "unimplemented", "identity"]);
    const stream = await send({ path: watch, headers: { "connect-content-encoding": "gzip" }, body: messageEnvelope(tea) });
    assert.deepEqual([stream.status, stream.code, stream.headers.get("connect-accept-encoding")], [200, "unimplemented", "identity"]);
    const identity = await send({ headers: { "content-encoding": "identity", "accept-encoding": "gzip, br" } });
    assert.deepEqual([identity.status, identity.headers.get("content-encoding")], [200, null]);
    const compressed = messageEnvelope(tea);
    compressed[0] = 1;
    assert.equal((await send({ path: watch, body: compressed })).code, "internal");
  });

  it("an unknown version, a time-out that is not one, and a body that is not the message are invalid arguments", async () => {
    for (const headers of [{ "connect-protocol-version": "2" }, { "connect-timeout-ms": "1s" }, { "connect-timeout-ms": "12345678901" }]) {
      assert.deepEqual((({ status, code }) => [status, code])(await send({ headers })), [400, "invalid_argument"]);
      const { status, code } = await send({ path: watch, headers, body: messageEnvelope(tea) });
      assert.deepEqual([status, code], [200, "invalid_argument"]);
    }
    for (const body of ["", "{", "[]", '{"sku":1}']) assert.equal((await send({ body })).code, "invalid_argument");
    for (const body of ["", tea, Buffer.concat([messageEnvelope(tea), messageEnvelope(tea)])])
      assert.equal((await send({ path: watch, body })).code, "invalid_argument");
    const binary = await send({ headers: { "content-type": "application/proto" }, body: Buffer.alloc(9, 0xff) });
    assert.deepEqual([binary.status, binary.code, binary.type], [400, "invalid_argument", "application/json"]);
  });

  it("a time-out of nothing is over at once", async () => {
    const { status, code } = await send({ headers: { "connect-timeout-ms": "0" } });
    assert.deepEqual([status, code], [504, "deadline_exceeded"]);
  });

  it("a path that is not served is unimplemented, and was not executed", async () => {
    for (const path of ["/", `${greet}Elsewhere`, `${greet}?connect=v1`]) {
      const { status, code, headers } = await send({ path });
      assert.deepEqual([status, code, headers.get("kontor-not-executed")], [404, "unimplemented", "1"]);
    }
  });

  it("a failed precondition is 400, as the protocol has it, and not 409", async () => {
    const { status, code } = await send({ path: `/${GreeterService.typeName}/Inside` });
    assert.deepEqual([status, code], [400, "failed_precondition"]);
  });
});
