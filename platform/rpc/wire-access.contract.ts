import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createConnection } from "node:net";
import { it } from "node:test";
import { refusalIn } from "../errors/refusal.ts";
import type { LogFields, Logger } from "../telemetry/logger.ts";
import { tokenCallers } from "./callers.ts";
import type { Callers } from "./callers.ts";
import { createInProcessRpc } from "./in-process.ts";
import { openRemotes } from "./remotes.ts";
import { callOf, GreeterService, tea } from "./test-greeter.ts";
import { callers, silentLog } from "./test-wire.ts";
import type { TestServer, WireProtocol } from "./test-wire.ts";
import { serveGreeter, stopProcess, WireApp } from "./test-wire-app.ts";
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

/** Who may call over a wire, and what becomes of requests that are not calls of ours. */
export function wireAccess({ protocol, send, path, body }: WireUnderTest): void {
  it("ID-12 SEC-01: a call without a token, or with another's, is unauthenticated", async () => {
    await using app = new WireApp(protocol);
    const server = await serveGreeter(protocol);
    app.add(() => stopProcess(server));
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
    await using app = new WireApp(protocol);
    const server = await serveGreeter(protocol);
    app.add(() => stopProcess(server));
    const of = async (caller: string) =>
      (await app.clients({ greeter: [server.address] }, undefined, caller)).of("greeter", GreeterService);
    await (await of("orders")).ledger(tea, callOf());
    await assert.rejects((await of("catalog")).ledger(tea, callOf()), { reason: "PERMISSION_DENIED" });
    await assert.rejects((await of("gateway")).ledger(tea, callOf()), { reason: "PERMISSION_DENIED" });
  });

  it("SEC-01: a request that is not a call of ours is refused, and does no harm", async () => {
    await using app = new WireApp(protocol);
    const faults: LogFields[] = [];
    let seen = 0;
    const log: Logger = { ...silentLog, error: (fields) => void faults.push(fields), child: () => log };
    const server = await serveGreeter(protocol, { greet: async () => (seen++, {}) }, { log });
    app.add(() => stopProcess(server));
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
