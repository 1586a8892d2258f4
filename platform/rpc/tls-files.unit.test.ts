import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import { ConfigError } from "../config/read-config.ts";
import { createAuthority, issueCertificate } from "./certificates.ts";
import { openTlsFiles } from "./tls-files.ts";

const now = new Date();
const dayMs = 24 * 3_600_000;
const authority = await createAuthority({ days: 10, now });
const make = (service: string, days = 5, at = now) => issueCertificate(authority, { services: [service], days, now: at });

async function files(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), "kontor-tls-"));
  t.after(() => rm(folder, { recursive: true }));
  const paths = { ca: join(folder, "ca.crt"), cert: join(folder, "own.crt"), key: join(folder, "own.key") };
  /** As a careful writer does it: the new file takes the old one's place at once. */
  const write = async (part: keyof typeof paths, text: string): Promise<void> => {
    await writeFile(`${paths[part]}.new`, text);
    await rename(`${paths[part]}.new`, paths[part]);
  };
  const pair = await make("orders");
  await write("ca", authority.certificate);
  await write("cert", pair.certificate);
  await write("key", pair.key);
  const lines: string[] = [];
  const write_ = (level: string) => (_: unknown, message: string) => void lines.push(`${level}: ${message}`);
  const log = { debug: () => undefined, info: write_("info"), warn: write_("warn"), error: write_("error"), child: () => log };
  return { paths, write, pair, log, lines };
}

describe("TLS files", () => {
  it("are read, with the services that the certificate names and how long it is valid", async (t) => {
    const { paths, pair, log, lines } = await files(t);
    const tls = await openTlsFiles(paths, log);
    const { ca, cert, key, identities, validTo } = tls.current();
    assert.deepEqual([ca, cert, key].map(String), [authority.certificate, pair.certificate, pair.key]);
    assert.deepEqual(identities, ["orders"]);
    assert.equal(Math.round((validTo.getTime() - now.getTime()) / dayMs), 5);
    assert.deepEqual(lines, []);
    tls.stop();
    tls.stop();
  });

  it("stop the start when they are not valid, naming the variable and the file", async (t) => {
    const { paths, pair, log } = await files(t);
    const other = await make("orders");
    const old = new Date(now.getTime() - 10 * dayMs);
    const expired = await make("orders", 5, old);
    const future = await make("orders", 5, new Date(now.getTime() + dayMs));
    const encrypted = String(createPrivateKey(pair.key).export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" }));
    const cases: readonly (readonly [part: keyof typeof paths, text: string | undefined, says: RegExp])[] = [
      ["ca", undefined, /KONTOR_TLS_CA: there is no file .*ca\.crt/],
      ["cert", undefined, /KONTOR_TLS_CERT: there is no file/],
      ["key", undefined, /KONTOR_TLS_KEY: there is no file/],
      ["ca", "", /KONTOR_TLS_CA: .* holds no certificate in PEM form/],
      ["ca", pair.certificate, /KONTOR_TLS_CA: .* is not an authority's certificate/],
      ["ca", (await createAuthority({ days: 5, now: old })).certificate, /KONTOR_TLS_CA: .* has expired at 20/],
      ["cert", pair.key, /KONTOR_TLS_CERT: .* holds no certificate/],
      ["cert", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", /KONTOR_TLS_CERT: .* cannot be read/],
      ["cert", expired.certificate, /KONTOR_TLS_CERT: .* has expired at 20/],
      ["cert", future.certificate, /KONTOR_TLS_CERT: .* is valid only from 20/],
      ["key", "nonsense", /KONTOR_TLS_KEY: .* holds no private key/],
      ["key", pair.certificate, /KONTOR_TLS_KEY: .* holds no private key/],
      ["key", encrypted, /KONTOR_TLS_KEY: .* is encrypted/],
      ["key", other.key, /KONTOR_TLS_KEY: .* is not the key of .*own\.crt/],
    ];
    for (const [part, text, says] of cases) {
      const before = { ca: authority.certificate, cert: pair.certificate, key: pair.key }[part];
      await (text === undefined ? rm(paths[part]) : writeFile(paths[part], text));
      await assert.rejects(
        openTlsFiles(paths, log),
        (error: Error) => error instanceof ConfigError && says.test(error.message),
        String(says),
      );
      await writeFile(paths[part], before);
    }
    await assert.rejects(openTlsFiles({ ...paths, key: join(paths.ca, "..") }, log), /KONTOR_TLS_KEY: .* is a folder/);
    (await openTlsFiles(paths, log)).stop();
  });

  it("are used when they are replaced, certificate and key together", async (t) => {
    const { paths, write, pair, log, lines } = await files(t);
    const tls = await openTlsFiles(paths, log);
    t.after(() => tls.stop());
    const identitiesSeen: string[] = [];
    const end = tls.changed(({ identities }) => void identitiesSeen.push(identities.join()));
    tls.changed(() => {
      throw new Error("a listener's own trouble");
    });
    await tls.check();
    const next = await make("payments");
    await write("key", next.key);
    await tls.check();
    assert.equal(String(tls.current().cert), pair.certificate, "a half-written pair is not taken");
    assert.deepEqual(lines, []);
    await tls.check();
    await tls.check();
    assert.deepEqual(lines, ["error: the new TLS files are not valid; the former ones stay in use"]);
    await write("cert", next.certificate);
    await Promise.all([tls.check(), tls.check()]);
    assert.deepEqual([String(tls.current().cert), String(tls.current().key)], [next.certificate, next.key]);
    assert.deepEqual(identitiesSeen, ["payments"]);
    assert.deepEqual(lines.slice(1), [
      "info: the TLS certificate was replaced",
      "error: a server or client did not accept the new TLS certificate",
    ]);
    await rm(paths.ca);
    await tls.check();
    assert.equal(String(tls.current().ca), authority.certificate);
    const both = `${(await createAuthority({ days: 1, now })).certificate}${authority.certificate}`;
    await write("ca", both);
    await tls.check();
    assert.equal(String(tls.current().ca), both);
    assert.equal(identitiesSeen.length, 2);
    end();
    await write("ca", authority.certificate);
    await tls.check();
    assert.equal(identitiesSeen.length, 2);
  });

  it("log a warning when the authority has not signed the certificate", async (t) => {
    const { paths, write, log, lines } = await files(t);
    await write("ca", (await createAuthority({ days: 1, now })).certificate);
    (await openTlsFiles(paths, log)).stop();
    assert.deepEqual(lines, ["warn: KONTOR_TLS_CERT is not signed by KONTOR_TLS_CA: is it the right authority?"]);
  });
});
