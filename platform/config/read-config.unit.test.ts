import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ConfigError, describeConfig, readConfig, type Shape } from "./read-config.ts";
import { boolean, duration, host, integer, oneOf, port, secret, text, url } from "./variables.ts";

const shape = {
  shopName: text("KONTOR_SHOP_NAME", { default: "Kontor", about: "the name in mails and on pages" }),
  port: port("KONTOR_PORT", { default: 4000, about: "where the gateway listens" }),
  connections: integer("KONTOR_CONNECTIONS", { min: 5, max: 500, default: 40, about: "the connection budget" }),
  events: url("KONTOR_EVENTS", {
    schemes: ["kafka"],
    words: ["embedded"],
    hosts: "many",
    default: "embedded",
    about: "where events travel",
  }),
  log: oneOf("KONTOR_LOG_LEVEL", ["debug", "info"], { default: "info", about: "the least level that is logged" }),
  telemetry: boolean("KONTOR_TELEMETRY", { default: false, about: "whether spans are sent" }),
  drain: duration("KONTOR_DRAIN", { max: 60_000, default: 5_000, about: "how long the drain takes" }),
  masterKey: secret("KONTOR_MASTER_KEY", { lengthMin: 32, about: "from which other secrets are derived" }),
  databases: { orders: url("KONTOR_ORDERS_DATABASE_URL", { schemes: ["postgres", "postgresql"], optional: true, about: "orders' own" }) },
};
const key = "k".repeat(32);

function problemsOf(given: Shape, env: Record<string, string>): Record<string, string> {
  try {
    readConfig(given, env);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return Object.fromEntries(error.problems.map(({ variable, message }) => [variable, message]));
  }
  return {};
}

describe("host", () => {
  it("INF-17: is an address or a name, of which a URL can be made", () => {
    const given = { host: host("KONTOR_HOST", { default: "127.0.0.1", about: "the address to listen on" }) };
    const refused = (value: string) => "KONTOR_HOST" in problemsOf(given, { KONTOR_HOST: value });
    for (const right of ["0.0.0.0", "::", "fd00::1", "shop-1.internal", "localhost"]) assert.equal(refused(right), false, right);
    for (const wrong of ["999.1.1.1", "a:80", "[::1]", "fe80::1%eth0", "a b", "http://a", "a/b", "-x", "a..b", "."])
      assert.equal(refused(wrong), true, wrong);
  });
});

describe("readConfig", () => {
  it("INF-17: gives typed values, defaults where nothing is set", () => {
    const config = readConfig(shape, { KONTOR_MASTER_KEY: key, KONTOR_PORT: "80", KONTOR_DRAIN: "1m", KONTOR_SHOP_NAME: "", OTHER: "x" });
    const name: string = config.shopName;
    const level: "debug" | "info" = config.log;
    const orders: string | undefined = config.databases.orders;
    // @ts-expect-error -- an optional variable may be undefined
    const wrong: string = config.databases.orders;
    assert.deepEqual([name, level, orders, wrong], ["Kontor", "info", undefined, undefined]);
    assert.deepEqual([config.port, config.connections, config.telemetry, config.drain, config.events], [80, 40, false, 60_000, "embedded"]);
  });

  it("INF-17: names everything that is missing or malformed at once, with what was expected", () => {
    const env = {
      KONTOR_PORT: "80a",
      KONTOR_CONNECTIONS: "501",
      KONTOR_EVENTS: "rabbit://x",
      KONTOR_LOG_LEVEL: "loud",
      KONTOR_TELEMETRY: "yes",
      KONTOR_DRAIN: "2m",
      KONTOR_ORDERS_DATABASE_URL: "postgres://user:hunter2@/x y",
    };
    assert.deepEqual(problemsOf(shape, env), {
      KONTOR_PORT: 'expected an integer from 0 to 65535, not "80a"',
      KONTOR_CONNECTIONS: 'expected an integer from 5 to 500, not "501"',
      KONTOR_EVENTS: 'expected "embedded" or a URL kafka://… (hosts separated by commas)',
      KONTOR_LOG_LEVEL: 'expected one of debug, info, not "loud"',
      KONTOR_TELEMETRY: 'expected true or false, not "yes"',
      KONTOR_DRAIN: 'expected a duration such as 500ms, 30s, 5m, 4h or 7d from 0ms to 1m, not "2m"',
      KONTOR_ORDERS_DATABASE_URL: "expected a URL postgres://… or postgresql://…",
      KONTOR_MASTER_KEY: "is missing; expected a secret of at least 32 characters (from which other secrets are derived)",
    });
  });

  it("INF-17: refuses unknown variables with the prefix and suggests the probable name", () => {
    assert.deepEqual(
      problemsOf(shape, { KONTOR_MASTER_KEY: key, KONTOR_PROT: "1", KONTOR_TELEMETRY_ENABLED: "1", KONTOR_PORT_FILE: "x" }),
      {
        KONTOR_PORT_FILE: "is not known; only a secret can come from a file, set KONTOR_PORT",
        KONTOR_PROT: "is not known; did you mean KONTOR_PORT?",
        KONTOR_TELEMETRY_ENABLED: "is not known",
      },
    );
    const config = readConfig(shape, { KONTOR_MASTER_KEY: key, KONTOR_HOME: "x" }, { known: ["KONTOR_HOME"] });
    assert.equal(config.port, 4000);
  });

  it("S21: never shows the value of a secret or of a URL", () => {
    const env = {
      KONTOR_MASTER_KEY: "canary-short",
      KONTOR_ORDERS_DATABASE_URL: "mysql://u:canary@h/x",
      KONTOR_SHOP_NAME: "canary".repeat(200),
    };
    assert.throws(
      () => readConfig(shape, env),
      (error: Error) =>
        error.message.includes("KONTOR_MASTER_KEY") && error.message.includes("KONTOR_SHOP_NAME") && !/canary/.test(error.message),
    );
    const withDefault = { key: secret("KONTOR_KEY", { default: "canary", about: "a key" }) };
    assert.equal(JSON.stringify(describeConfig(withDefault)).includes("canary"), false);
  });

  it("reads a secret from a file, without the newline at its end", (t) => {
    const folder = mkdtempSync(join(tmpdir(), "kontor-config-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "key");
    writeFileSync(file, `${key}\n`);
    assert.equal(readConfig(shape, { KONTOR_MASTER_KEY_FILE: file }).masterKey, key);
    assert.match(problemsOf(shape, { KONTOR_MASTER_KEY_FILE: file, KONTOR_MASTER_KEY: key })["KONTOR_MASTER_KEY"] ?? "", /not both/);
    assert.match(problemsOf(shape, { KONTOR_MASTER_KEY_FILE: `${file}x` })["KONTOR_MASTER_KEY_FILE"] ?? "", /cannot be read: ENOENT/);
    writeFileSync(file, "\n");
    assert.match(problemsOf(shape, { KONTOR_MASTER_KEY_FILE: file })["KONTOR_MASTER_KEY_FILE"] ?? "", /is empty/);
  });

  it("takes URLs of the schemes, of one host or of many", () => {
    const one = { at: url("KONTOR_AT", { schemes: ["http", "https"], about: "an address" }) };
    const many = { at: url("KONTOR_AT", { schemes: ["kafka"], hosts: "many", about: "brokers" }) };
    for (const good of ["http://localhost:4000", "https://user:pa%20ss@shop.example/x?y#z", "http://[::1]:80/"])
      assert.equal(readConfig(one, { KONTOR_AT: good }).at, good);
    for (const bad of ["localhost:4000", "ftp://x", "http://", "http:///x", "http://a,b:99999999", "http://x y", "http://h:port"])
      assert.deepEqual(Object.keys(problemsOf(one, { KONTOR_AT: bad })), ["KONTOR_AT"], bad);
    for (const good of ["kafka://a:9092", "kafka://a:9092,b:9092,c"]) assert.equal(readConfig(many, { KONTOR_AT: good }).at, good);
    for (const bad of ["kafka://a:9092,", "kafka://a:9092,b:x", "kafka://,"])
      assert.notDeepEqual(problemsOf(many, { KONTOR_AT: bad }), {}, bad);
  });

  it("refuses a default that its own rule refuses", () => {
    assert.throws(() => integer("KONTOR_X", { max: 3, default: 4, about: "x" }), /KONTOR_X: the default is not an integer from 0 to 3/);
  });
});

describe("describeConfig", () => {
  it("gives a row for each variable, nested ones too", () => {
    const rows = describeConfig(shape);
    assert.equal(rows.length, 9);
    assert.deepEqual(rows[6], {
      variable: "KONTOR_DRAIN",
      expected: "a duration such as 500ms, 30s, 5m, 4h or 7d from 0ms to 1m",
      about: "how long the drain takes",
      required: false,
      secret: false,
      default: "5s",
    });
    assert.deepEqual([rows[7]?.required, rows[7]?.secret, rows[8]?.variable], [true, true, "KONTOR_ORDERS_DATABASE_URL"]);
  });
});
