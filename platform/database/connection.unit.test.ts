import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { afterTests } from "../testing/postgres.ts";
import { connectionFrom, connectionUrl } from "./connection.ts";
import type { Connection } from "./connection.ts";

const read = (rest: string): Connection => connectionFrom(`postgres://${rest}`, "KONTOR_DATABASE_URL");

function rootFile(content = "-----BEGIN CERTIFICATE-----\n"): string {
  const folder = mkdtempSync(join(tmpdir(), "kontor-ca-"));
  afterTests(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "root ca.crt");
  writeFileSync(path, content);
  return path;
}

test("a connection is the same after a round trip through its URL", () => {
  const others = [{ host: "10.0.0.2", port: 5432 }];
  for (const host of ["127.0.0.1", "db.example", "::1", "/var/run/post gres"])
    for (const more of [{}, { others }, { others, tls: "require" as const }, { tls: "verify-ca" as const, tlsRootFile: rootFile() }]) {
      const connection = { host, port: 5433, user: "a@b", password: "p:/?#%", database: "shop", ...more };
      assert.deepEqual(connectionFrom(connectionUrl(connection), "KONTOR_DATABASE_URL"), connection);
    }
  assert.throws(
    () => connectionUrl({ host: "a", port: 1, user: "u", database: "d", password: async () => "secret" }),
    /cannot be written into a URL/,
  );
});

test("a part that the URL leaves out has a default", () => {
  assert.deepEqual(read("/shop"), { host: "127.0.0.1", port: 5432, user: "", password: "", database: "shop" });
  assert.deepEqual(connectionFrom("postgresql://me@db/shop", "X"), { host: "db", port: 5432, user: "me", password: "", database: "shop" });
});

test("several hosts", () => {
  assert.deepEqual(read("u:p@a:1,[::2]:2,c/db?target_session_attrs=read-write"), {
    host: "a",
    port: 1,
    others: [
      { host: "::2", port: 2 },
      { host: "c", port: 5432 },
    ],
    user: "u",
    password: "p",
    database: "db",
  });
});

describe("SEC-05: how a connection is protected", () => {
  test("is set with sslmode and sslrootcert, and a root file is never ignored", () => {
    const path = rootFile();
    const file = encodeURIComponent(path);
    assert.equal(read("u:p@db/x").tls, undefined);
    assert.equal(read("u:p@db/x?sslmode=disable").tls, "disable");
    assert.equal(read("u:p@db/x?sslmode=require").tls, "require");
    const given = (query: string) => [read(`u:p@db/x?${query}`).tls, read(`u:p@db/x?${query}`).tlsRootFile];
    assert.deepEqual(given(`sslmode=verify-full&sslrootcert=${file}`), ["verify-full", path]);
    assert.deepEqual(given(`sslmode=require&sslrootcert=${file}`), ["verify-ca", path]);
    assert.deepEqual(given(`sslrootcert=${file}`), ["verify-full", path]);
    assert.deepEqual(given("sslmode=verify-full&sslrootcert=system"), ["verify-full", undefined]);
  });

  test("an unknown parameter or value is refused with the name of the variable", () => {
    const refused = (rest: string, message: RegExp) =>
      assert.throws(
        () => read(rest),
        (error: Error) => {
          assert.match(error.message, /^KONTOR_DATABASE_URL/);
          assert.match(error.message, message);
          assert.doesNotMatch(error.message, /secret/);
          return true;
        },
      );
    refused("u:secret@db/x?sslmode=prefer", /one of disable, require, verify-ca, verify-full; prefer would fall back to plain text/);
    refused("u:secret@db/x?sslmode=loud", /one of disable/);
    refused("u:secret@db/x?sslcert=/a", /sslcert is unknown; the known ones are sslmode, sslrootcert/);
    refused("u:secret@db/x?sslmode=disable&sslrootcert=/a", /needs an sslmode/);
    refused("u:secret@db/x?sslrootcert=/no/such/file", /\/no\/such\/file of sslrootcert cannot be read: ENOENT/);
    refused(`u:secret@db/x?sslrootcert=${encodeURIComponent(rootFile("nothing"))}`, /holds no certificate/);
    refused("u:secret@db/x?target_session_attrs=standby", /read-write/);
  });
});

test("a malformed URL is refused, and the password is not shown", () => {
  for (const url of [
    "mysql://root:secret@db/shop",
    "postgres://db",
    "postgres://u:secret@db",
    "postgres://u:secret@db/",
    "postgres://u:secret@a:b/x",
    "postgres://u:secret@a:99999/x",
    "postgres://u:%secret@a/x",
    "postgres://u:secret@::1:5432/x",
    "postgres://u:secret@a b/x",
    "postgres://u:secret@db/x/y",
    "postgres://u:secret@db/x#y",
  ])
    assert.throws(
      () => connectionFrom(url, "KONTOR_DATABASE_URL"),
      (error: Error) => {
        assert.match(error.message, /^KONTOR_DATABASE_URL must be like/, url);
        assert.doesNotMatch(error.message, /secret/);
        return true;
      },
    );
});
