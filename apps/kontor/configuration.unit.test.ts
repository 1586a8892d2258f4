import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ConfigError } from "@kontor/platform/config/read-config.ts";
import { createAuthority } from "@kontor/platform/rpc/certificates.ts";
import { rateLimitDefaults } from "@kontor/gateway/edge/rate-limits.ts";
import { readConfiguration } from "./configuration.ts";

function problemsOf(env: Readonly<Record<string, string>>): Record<string, string> {
  try {
    readConfiguration(env);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return Object.fromEntries(error.problems.map(({ variable, message }) => [variable, message]));
  }
  return {};
}

const plain = {
  KONTOR_DATABASE_URL: "postgres://a:secret@127.0.0.1/postgres",
  KONTOR_DATABASE_REPLICA_URL: "postgres://a:secret@db-1,localhost:5433/postgres",
  KONTOR_ORDERS_DATABASE_URL: "postgresql://a:secret@db/orders?sslmode=disable",
  KONTOR_CARTS_DATABASE_REPLICA_URL: "postgres://a:secret@[::1]:5432/carts",
  KONTOR_CACHE: "redis://:secret@127.0.0.1:6379",
  KONTOR_EVENTS: "kafka://a:secret@one:9092,two:9092?tls=false",
  KONTOR_TASKS: "amqp://a:secret@one,two/shop",
  KONTOR_SEARCH: "http://a:secret@search:9200",
  KONTOR_CARTS_DOCUMENTS: "mongodb://a:secret@mongo/shop",
  KONTOR_CATALOG_URL: "grpc://catalog:4010",
  KONTOR_ORDERS_URL: "http://127.0.0.1:4010",
  KONTOR_RPC: "grpc://0.0.0.0:4010",
  KONTOR_PROVIDER_URL: "http://provider:4003",
  KONTOR_SMTP_URL: "smtp://mail:25",
};

const secure = {
  KONTOR_DATABASE_URL: "postgres://a:secret@db-1,db-2:5433/postgres",
  KONTOR_DATABASE_REPLICA_URL: "postgres://a:secret@127.0.0.1/postgres?sslmode=require",
  KONTOR_ORDERS_DATABASE_URL: "postgresql://a:secret@127.0.0.1/orders?sslmode=verify-full",
  KONTOR_CARTS_DATABASE_REPLICA_URL: "postgres://a:secret@127.0.0.1/carts?sslrootcert=/ca.crt",
  KONTOR_CACHE: "rediss://:secret@127.0.0.1:6379",
  KONTOR_EVENTS: "kafka://a:secret@one:9092,two:9092?replicas=3&tls=true",
  KONTOR_TASKS: "amqps://a:secret@one,two/shop",
  KONTOR_SEARCH: "https://a:secret@search:9200",
  KONTOR_CARTS_DOCUMENTS: "mongodb://a:secret@mongo/shop?tls=true",
  KONTOR_CATALOG_URL: "grpcs://catalog:4010",
  KONTOR_ORDERS_URL: "https://orders:4010",
  KONTOR_RPC: "grpcs://0.0.0.0:4010",
  KONTOR_PROVIDER_URL: "https://provider:4003",
  KONTOR_SMTP_URL: "smtps://mail",
};

describe("KONTOR_REQUIRE_TLS", () => {
  it("SEC-05: refuses every address that is plain text, all at once, and says what it needs", () => {
    const problems = problemsOf({ ...plain, KONTOR_REQUIRE_TLS: "true" });
    assert.deepEqual(Object.keys(problems).toSorted(), Object.keys(plain).toSorted());
    for (const message of Object.values(problems)) assert.match(message, /^is plain text, which KONTOR_REQUIRE_TLS forbids: it needs \S/);
    assert.doesNotMatch(JSON.stringify(problems), /secret/);
    assert.match(problems["KONTOR_DATABASE_URL"]!, /sslmode=verify-full$/);
    assert.match(problems["KONTOR_CACHE"]!, /rediss:\/\/$/);
    assert.match(problems["KONTOR_EVENTS"]!, /tls=true$/);
    assert.match(problems["KONTOR_TASKS"]!, /amqps:\/\/$/);
    assert.match(problems["KONTOR_SEARCH"]!, /https:\/\/$/);
    assert.match(problems["KONTOR_RPC"]!, /grpcs:\/\/$/);
  });

  it("SEC-05: takes addresses with TLS, and none", () => {
    assert.deepEqual(problemsOf({ ...secure, KONTOR_REQUIRE_TLS: "true" }), {});
    assert.deepEqual(problemsOf({ KONTOR_REQUIRE_TLS: "true" }), {});
  });

  it("accepts plain text when it is not set", () => {
    assert.deepEqual(problemsOf(plain), {});
    assert.deepEqual(problemsOf({ ...plain, KONTOR_REQUIRE_TLS: "false" }), {});
    assert.equal(readConfiguration({}).requireTls, false);
  });

  it("distinguishes how an address is protected", () => {
    const refused = (variable: string, url: string): boolean => variable in problemsOf({ [variable]: url, KONTOR_REQUIRE_TLS: "true" });
    const cases: readonly (readonly [variable: string, url: string, refused: boolean])[] = [
      ["KONTOR_CARTS_DOCUMENTS", "redis://carts", true],
      ["KONTOR_CARTS_DOCUMENTS", "rediss://carts", false],
      ["KONTOR_CARTS_DOCUMENTS", "mongodb+srv://mongo/shop", false],
      ["KONTOR_CARTS_DOCUMENTS", "mongodb+srv://mongo/shop?TLS=false", true],
      ["KONTOR_CARTS_DOCUMENTS", "mongodb://mongo?ssl=true", false],
      ["KONTOR_CARTS_DOCUMENTS", "mongodb://mongo?ssl=true&tls=false", true],
      ["KONTOR_EVENTS", "kafka://one:9092", true],
      // Nothing of a folder's socket goes over a network.
      ["KONTOR_DATABASE_URL", "postgres://a@%2Frun%2Fpostgresql/postgres", false],
      ["KONTOR_DATABASE_URL", "postgres://a@localhost/postgres?sslmode=verify-ca", false],
      ["KONTOR_DATABASE_URL", "postgres://a@db/postgres?sslrootcert=/ca.crt&sslmode=disable", true],
      // What runs beside the shop by default.
      ["KONTOR_PROVIDER_URL", "http://127.0.0.1:4003", false],
      ["KONTOR_PROVIDER_URL", "http://[::1]:4003", false],
      ["KONTOR_SMTP_URL", "smtp://localhost:4002", false],
      // A password is sent after STARTTLS only.
      ["KONTOR_SMTP_URL", "smtp://a:b@mail:587", false],
    ];
    for (const [variable, url, plainText] of cases) assert.equal(refused(variable, url), plainText, url);
  });
});

describe("KONTOR_SERVERS_CA", () => {
  it("SEC-05: is read once, and refused by name where it is no file with certificates", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "kontor-servers-ca-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "ca.pem");
    const read = () => readConfiguration({ KONTOR_SERVERS_CA: file }).authorities;
    const refused = (path = file) => problemsOf({ KONTOR_SERVERS_CA: path })["KONTOR_SERVERS_CA"] ?? "";

    assert.match(refused(), /ca\.pem cannot be read: ENOENT/);
    assert.match(refused(folder), /cannot be read: EISDIR/);
    writeFileSync(file, "no certificate");
    assert.match(refused(), /ca\.pem holds no certificate in PEM form/);
    writeFileSync(file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert.match(refused(), /ca\.pem holds a certificate that cannot be read/);

    const [one, other] = await Promise.all([1, 2].map(() => createAuthority({ days: 1, now: new Date() })));
    // The text between certificates may be of any encoding, and a key that does not belong there is ignored.
    writeFileSync(file, `für uns\n${one!.certificate}\r\n${other!.key}${other!.certificate}`);
    assert.equal(read(), `${one!.certificate.trim()}\n${other!.certificate.trim()}`);
    assert.equal(readConfiguration({}).authorities, undefined);
  });

  it("is reported together with addresses in plain text", () => {
    const problems = problemsOf({ KONTOR_SERVERS_CA: "/nowhere", KONTOR_CACHE: "redis://cache", KONTOR_REQUIRE_TLS: "true" });
    assert.deepEqual(Object.keys(problems).toSorted(), ["KONTOR_CACHE", "KONTOR_SERVERS_CA"]);
  });
});

describe("KONTOR_RATE_LIMITS", () => {
  it("INF-17: is read with the other variables, and a wrong limit is named", () => {
    const problems = problemsOf({ KONTOR_RATE_LIMITS: "catalog=3000" });
    assert.deepEqual(Object.keys(problems), ["KONTOR_RATE_LIMITS"]);
    assert.match(problems["KONTOR_RATE_LIMITS"]!, /"catalog=3000" is not a limit/);
    const { rates } = readConfiguration({ KONTOR_RATE_LIMITS: "catalog=3000/m,brute-force=off" });
    assert.deepEqual(rates, { ...rateLimitDefaults, byService: { catalog: { requests: 3_000, windowMs: 60_000 } }, bruteForce: "off" });
    assert.equal(readConfiguration({}).rates, undefined);
  });

  it("INF-17: a name that is no service's is refused, and not ignored", () => {
    const problems = problemsOf({ KONTOR_RATE_LIMITS: "600/m,guest-write=10/m" });
    assert.match(
      problems["KONTOR_RATE_LIMITS"]!,
      /^"guest-write" is not a service; write brute-force, guest-writes or one of carts, catalog, /,
    );
  });
});

describe("KONTOR_CURRENCY", () => {
  it("INF-17: is the code of a currency", () => {
    assert.equal(readConfiguration({ KONTOR_CURRENCY: "HUF" }).currency, "HUF");
    for (const wrong of ["XXX", "eur", "Euro", "€"])
      assert.match(
        problemsOf({ KONTOR_CURRENCY: wrong })["KONTOR_CURRENCY"] ?? "taken",
        /^expected a currency of ISO 4217 such as EUR/,
        wrong,
      );
  });
});
