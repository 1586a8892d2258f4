import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { refusalIn } from "../errors/refusal.ts";
import { rootCall } from "../call/call.ts";
import { certificateCallers } from "./callers.ts";
import { createAuthority, issueCertificate } from "./certificates.ts";
import type { KeyPair } from "./certificates.ts";
import { tlsIdentity } from "./grpc-tls.ts";
import { createInProcessRpc } from "./in-process.ts";
import { openRemotes } from "./remotes.ts";
import { greeterHandlers, GreeterService } from "./test-greeter.ts";
import { implement } from "./rpc.ts";
import { createServerOf, silentLog } from "./test-wire.ts";
import { openTlsFiles } from "./tls-files.ts";
import type { TlsFiles } from "./tls-files.ts";

const folders: string[] = [];
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

const authority = await createAuthority({ days: 2, now: new Date() });
const certificateOf = (services: readonly string[], signer: KeyPair = authority) =>
  issueCertificate(signer, { services, hosts: ["127.0.0.1"], days: 1, now: new Date() });

async function filesOf(
  pair: KeyPair,
  ca: KeyPair = authority,
): Promise<{ readonly files: TlsFiles; replace(next: KeyPair): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), "kontor-tls-"));
  folders.push(folder);
  const paths = { ca: join(folder, "ca.pem"), cert: join(folder, "cert.pem"), key: join(folder, "key.pem") };
  const put = ({ certificate, key }: KeyPair) => Promise.all([writeFile(paths.cert, certificate), writeFile(paths.key, key)]);
  await Promise.all([writeFile(paths.ca, ca.certificate), put(pair)]);
  const files = await openTlsFiles(paths, silentLog);
  return {
    files,
    async replace(next) {
      await put(next);
      await files.check();
    },
  };
}

const tea = { sku: "tea", quantity: 1 };

for (const [plain, secure] of [
  ["grpc", "grpcs"],
  ["http", "https"],
] as const)
  describe(`TLS: ${secure}`, { concurrency: true }, () => {
    /** A server with a certificate, and what a caller with another one gets of it. */
    async function setup(certificate: Promise<KeyPair> = certificateOf(["greeter"])) {
      const { files, replace } = await filesOf(await certificate);
      const rpc = createInProcessRpc({ log: silentLog });
      rpc.serve("greeter", [implement(GreeterService, greeterHandlers)]);
      const identity = tlsIdentity(files);
      const read: unknown[] = [];
      const server = createServerOf[plain]({
        methods: rpc.methods,
        callers: certificateCallers,
        tls: { ...identity, identitiesOf: (certificate) => (read.push(certificate), identity.identitiesOf(certificate)) },
        ready: async () => true,
        instance: "test-1",
        log: silentLog,
      });
      const port = await server.start("127.0.0.1", 0);
      const open: (() => void)[] = [];
      async function callAs(
        caller: string,
        pair: KeyPair,
        { ca = authority, protocol = secure }: { readonly ca?: KeyPair; readonly protocol?: typeof plain | typeof secure } = {},
      ) {
        const own = await filesOf(pair, ca);
        const services = new Map([["greeter", { protocol, addresses: [`127.0.0.1:${port}`] }]]);
        const remotes = await openRemotes({ services, callers: certificateCallers, tls: tlsIdentity(own.files), log: silentLog });
        open.push(() => (remotes.close(), own.files.stop()));
        const client = createInProcessRpc({ log: silentLog, remotes }).clientsFor(caller).of("greeter", GreeterService);
        return {
          replace: own.replace,
          ledger: () =>
            client.ledger(tea, rootCall({ caller, timeoutMs: 2_000 })).then(
              () => "succeeded",
              (error: unknown) => refusalIn(error)?.reason ?? String(error),
            ),
        };
      }
      const call = async (...args: Parameters<typeof callAs>) => (await callAs(...args)).ledger();
      return {
        port,
        /** How often a caller's certificate was read. */
        reads: () => read.length,
        call,
        callAs,
        replace,
        async [Symbol.asyncDispose]() {
          for (const close of open) close();
          await server.stop();
          await rpc.stop();
          files.stop();
        },
      };
    }

    /** No connection: refused at once, or at the call's deadline. */
    const unreachable = /^DEPENDENCY_UNAVAILABLE$|^DEADLINE_EXCEEDED$/;

    it("ID-12 SEC-01: serves callers with their own certificate that the method allows", async () => {
      await using greeter = await setup();
      assert.equal(await greeter.call("orders", await certificateOf(["orders"])), "succeeded");
      assert.equal(await greeter.call("orders", await certificateOf(["catalog", "orders"])), "succeeded");
      assert.equal(await greeter.call("orders", await certificateOf(["catalog"])), "UNAUTHENTICATED");
      assert.equal(await greeter.call("catalog", await certificateOf(["catalog"])), "PERMISSION_DENIED");
    });

    it("reads a certificate once for each connection", async () => {
      await using greeter = await setup();
      let connections = 0;
      const count = (message: unknown) => {
        if ((message as { readonly socket: Socket }).socket.localPort === greeter.port) connections++;
      };
      subscribe("net.server.socket", count);
      const { ledger } = await greeter.callAs("orders", await certificateOf(["orders"]));
      for (let n = 0; n < 20; n++) assert.equal(await ledger(), "succeeded");
      unsubscribe("net.server.socket", count);
      // Over gRPC there is one; over HTTP call streams have connections of their own, at first two.
      assert.ok(connections <= (plain === "grpc" ? 1 : 3), `${connections} connections`);
      assert.ok(greeter.reads() >= 1 && greeter.reads() <= connections, `${greeter.reads()} reads for ${connections} connections`);
    });

    it("SEC-01: a certificate of another authority is rejected, on either side", async () => {
      await using greeter = await setup();
      const foreign = await createAuthority({ days: 2, now: new Date() });
      assert.match(await greeter.call("orders", await certificateOf(["orders"], foreign)), unreachable);
      assert.match(await greeter.call("orders", await certificateOf(["orders"]), { ca: foreign }), unreachable);
    });

    it("SEC-01: plaintext gets no response", async () => {
      await using greeter = await setup();
      assert.match(await greeter.call("orders", await certificateOf(["orders"]), { protocol: plain }), unreachable);
      const reply = await new Promise<string>((resolve) => {
        let text = "";
        const socket = createConnection(greeter.port, "127.0.0.1", () => socket.end("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        socket.on("data", (chunk) => (text += chunk.toString("latin1")));
        socket.on("error", () => undefined);
        socket.on("close", () => resolve(text));
      });
      assert.doesNotMatch(reply, /HTTP\/1\.1 200|kontor/);
    });

    it("SEC-01: the server must have the certificate of the service that is called", async () => {
      await using greeter = await setup(certificateOf(["catalog"]));
      assert.match(await greeter.call("orders", await certificateOf(["orders"])), unreachable);
    });

    it("SEC-01: new certificates are used without a restart, on both sides", async () => {
      await using greeter = await setup();
      const before = await greeter.callAs("orders", await certificateOf(["catalog"]));
      assert.equal(await before.ledger(), "UNAUTHENTICATED");
      await greeter.replace(await certificateOf(["greeter"]));
      assert.equal(await greeter.call("orders", await certificateOf(["orders"])), "succeeded");
      // From now on it is another service: new connections fail.
      await greeter.replace(await certificateOf(["catalog"]));
      assert.match(await greeter.call("orders", await certificateOf(["orders"])), unreachable);
      await greeter.replace(await certificateOf(["greeter"]));
      await before.replace(await certificateOf(["orders"]));
      assert.match(await before.ledger(), /^succeeded$|^UNAUTHENTICATED$/, "an open connection stays as it was");
    });
  });
