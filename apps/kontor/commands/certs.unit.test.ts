import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import { openTlsFiles } from "@kontor/platform/rpc/tls-files.ts";
import { run } from "../main.ts";
import { allRoles } from "../roles.ts";

async function setup(t: TestContext) {
  const data = await mkdtemp(join(tmpdir(), "kontor-certs-"));
  t.after(() => rm(data, { recursive: true }));
  const kontor = async (...args: readonly string[]) => {
    let out = "";
    let err = "";
    const code = await run(["certs", ...args], {
      env: { KONTOR_DATA: data },
      stdin: Readable.from([]),
      stdout: { write: (text: string) => (out += text) },
      stderr: { write: (text: string) => (err += text) },
    });
    return { code, out, err };
  };
  const certificate = async (name: string) => new X509Certificate(await readFile(join(data, "certs", name)));
  return { data, folder: join(data, "certs"), kontor, certificate };
}

describe("kontor certs", () => {
  it("SEC-01: makes an authority, and a key and a certificate for each service", async (t) => {
    const { folder, kontor, certificate } = await setup(t);
    const { code, out, err } = await kontor();
    assert.deepEqual([code, err], [0, ""]);
    const names = ["ca", ...allRoles];
    assert.deepEqual((await readdir(folder)).toSorted(), names.flatMap((name) => [`${name}.crt`, `${name}.key`]).toSorted());
    for (const name of names) {
      assert.match(out, new RegExp(`^${name} +valid until 20\\d\\d-\\d\\d-\\d\\d$`, "m"));
      assert.equal((await stat(join(folder, `${name}.key`))).mode & 0o777, 0o600);
    }
    const problems: string[] = [];
    const problem = (_: unknown, message: string) => void problems.push(message);
    const log = { debug: () => undefined, info: () => undefined, warn: problem, error: problem, child: () => log };
    for (const name of allRoles) {
      const at = (file: string) => join(folder, file);
      const files = await openTlsFiles({ ca: at("ca.crt"), cert: at(`${name}.crt`), key: at(`${name}.key`) }, log);
      files.stop();
      assert.deepEqual(files.current().identities, [name]);
      assert.equal((await certificate(`${name}.crt`)).checkHost(name), name);
    }
    assert.deepEqual(problems, []);
  });

  it("uses the authority again that is there, for one more service, with hosts and days", async (t) => {
    const { folder, kontor, certificate } = await setup(t);
    await kontor("orders");
    const before = await readFile(join(folder, "ca.crt"), "utf8");
    const { code, out } = await kontor("gateway", "carts+orders", "--hosts", "shop.example,10.0.0.7", "--hosts", "fd00::7", "--days", "7");
    assert.equal(code, 0);
    assert.equal(await readFile(join(folder, "ca.crt"), "utf8"), before);
    assert.doesNotMatch(out, /^ca /m);
    assert.match(out, new RegExp(`KONTOR_TLS_CERT=${join(folder, "gateway.crt")}\\n`));
    const gateway = await certificate("gateway.crt");
    assert.ok(gateway.verify((await certificate("ca.crt")).publicKey));
    assert.equal(gateway.checkHost("shop.example"), "shop.example");
    assert.equal(gateway.checkIP("fd00::7"), "fd00::7");
    assert.equal(Math.round((gateway.validToDate.getTime() - Date.now()) / 86_400_000), 7);
    assert.match((await certificate("carts+orders.crt")).subjectAltName ?? "", /spiffe:\/\/kontor\/carts, URI:spiffe:\/\/kontor\/orders/);
    const old = await readFile(join(folder, "orders.key"), "utf8");
    await kontor("orders");
    assert.notEqual(await readFile(join(folder, "orders.key"), "utf8"), old);
  });

  it("says what is wrong, and leaves what is there", async (t) => {
    const { data, folder, kontor } = await setup(t);
    for (const [args, says] of [
      [["billing"], /there is no service "billing": carts/],
      [["carts+"], /there is no service ""/],
      [["--days", "0"], /--days must be a whole number from 1 to 3650/],
      [["--days", "soon"], /--days must be a whole number/],
      [["--hosts", "a b"], /"a b" is neither a host's name nor an IP address/],
      [["--hosts", ""], /"" is neither/],
    ] as const) {
      const { code, err } = await kontor(...args);
      assert.equal(code, 2);
      assert.match(err, says);
    }
    await writeFile(join(data, "file"), "");
    const blocked = await kontor("--out", join(data, "file", "certs"));
    assert.deepEqual([blocked.code, blocked.out], [1, ""]);
    assert.match(blocked.err, /^kontor: the folder .*certs cannot be written: a part of its path is a file; --out names another one\n$/);
    assert.match((await kontor("--out", join(data, "file"))).err, /cannot be written: something else is there/);

    await kontor("orders");
    const files = await Promise.all(["ca.key", "orders.key"].map((name) => readFile(join(folder, name), "utf8")));
    await rm(join(folder, "ca.key"));
    const halved = await kontor("carts");
    assert.deepEqual([halved.code, halved.out], [1, ""]);
    assert.match(halved.err, /has ca\.crt but no ca\.key: bring it back, or remove ca\.crt and ca\.key/);
    await writeFile(join(folder, "ca.key"), files[1]!);
    assert.match((await kontor("carts")).err, /the authority in .* cannot be used: the authority's key is not that of its certificate/);
    await writeFile(join(folder, "ca.key"), "nonsense");
    assert.match((await kontor("carts")).err, /the authority in .* cannot be used/);
    await writeFile(join(folder, "ca.key"), files[0]!);
    assert.equal((await kontor("carts")).code, 0);
  });
});
