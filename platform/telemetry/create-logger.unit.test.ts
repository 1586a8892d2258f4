import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ManualClock } from "../clock/clock.ts";
import { refuse } from "../errors/refusal.ts";
import { rootCall } from "../call/call.ts";
import { createLogger, type LoggerOptions } from "./create-logger.ts";

function setup(options: Partial<LoggerOptions> = {}) {
  const written: string[] = [];
  const log = createLogger({
    service: "orders",
    clock: new ManualClock(new Date("2026-03-01T10:00:00.123Z")),
    stream: { write: (line) => written.push(line) },
    ...options,
  });
  const lines = () => written.map((line) => JSON.parse(line) as Record<string, unknown>);
  return { log, written, lines };
}

describe("createLogger", () => {
  it("OBS-01: every line is one JSON object with the agreed keys", () => {
    const { log, written, lines } = setup({ level: "debug" });
    const call = rootCall({ caller: "gateway", timeoutMs: 1_000, correlation: "req_1" });
    for (const level of ["debug", "info", "warn", "error"] as const) log[level]({ call, order: "ord_1" }, "two\nlines");
    assert.deepEqual(
      lines().map((line) => line["level"]),
      ["debug", "info", "warn", "error"],
    );
    for (const text of written) assert.equal(text.indexOf("\n"), text.length - 1);
    assert.deepEqual(lines()[1], {
      level: "info",
      time: "2026-03-01T10:00:00.123Z",
      service: "orders",
      correlation: "req_1",
      traceId: call.trace.traceId,
      spanId: call.trace.spanId,
      order: "ord_1",
      message: "two\nlines",
    });
  });

  it("drops lines below the level without looking at their fields", () => {
    const { log, written } = setup({ level: "warn" });
    const trap = {
      get order(): string {
        throw new Error("looked at");
      },
    };
    log.debug(trap, "no");
    log.info(trap, "no");
    assert.equal(written.length, 0);
  });

  it("gives a child's fields to all its lines, each key once, the nearest winning", () => {
    const { log, written, lines } = setup();
    const child = log.child({ service: "payments", part: "relay" }).child({ attempt: 1 });
    child.info({ attempt: 2 }, "tried");
    child.info({}, "idle");
    assert.deepEqual([lines()[0]?.["service"], lines()[0]?.["part"], lines()[0]?.["attempt"]], ["payments", "relay", 2]);
    assert.equal(lines()[1]?.["attempt"], 1);
    assert.equal(written[0]?.match(/"attempt"/g)?.length, 1);
    assert.equal(written[0]?.match(/"service"/g)?.length, 1);
  });

  it("keeps its own keys from being overwritten by fields", () => {
    const { log, lines } = setup();
    log.info({ time: "never", level: "fatal", message: "other" }, "mine");
    assert.deepEqual([lines()[0]?.["message"], lines()[0]?.["level"], lines()[0]?.["time"]], ["mine", "info", "2026-03-01T10:00:00.123Z"]);
    assert.equal(lines()[0]?.["message_"], "other");
  });

  it("OBS-01: an error comes with type, message, stack, causes and a refusal's reason", () => {
    const { log, lines } = setup();
    const refusal = refuse({
      reason: "OUT_OF_STOCK",
      code: "failed_precondition",
      details: { free: 2n, email: "canary@example.com" },
      cause: new TypeError("deep"),
    });
    log.error({ error: new Error("wrapped", { cause: refusal }) }, "failed");
    const error = lines()[0]?.["error"] as Record<string, unknown>;
    assert.equal(error["type"], "Error");
    assert.equal(error["message"], "wrapped");
    assert.match(String(error["stack"]), /^ {4}at .*create-logger\.unit\.test\.ts/);
    const causes = error["causes"] as Record<string, unknown>[];
    assert.deepEqual(
      causes.map((cause) => [cause["type"], cause["message"]]),
      [
        ["Refusal", "OUT_OF_STOCK"],
        ["TypeError", "deep"],
      ],
    );
    assert.deepEqual([causes[0]?.["reason"], causes[0]?.["code"]], ["OUT_OF_STOCK", "failed_precondition"]);
    assert.deepEqual(causes[0]?.["details"], { free: "2", email: "[redacted]" });
  });

  it("survives cycles, thrown texts, aggregates and errors without a stack", () => {
    const { log, lines } = setup();
    const looped = new Error("a");
    looped.cause = new Error("b", { cause: looped });
    const bare = new Error("bare");
    delete bare.stack;
    const ring: Record<string, unknown> = { id: 1 };
    ring["self"] = ring;
    log.error({ error: looped }, "1");
    log.error({ error: "just text" }, "2");
    log.error({ error: new AggregateError([new Error("x"), new Error("y")], "many") }, "3");
    log.error({ error: bare, ring }, "4");
    const errors = lines().map((line) => line["error"] as { message: string; causes?: { message: string }[] });
    assert.deepEqual(
      errors.map((error) => [error.message, error.causes?.map((cause) => cause.message)]),
      [
        ["a", ["b"]],
        ["just text", undefined],
        ["many", ["x", "y"]],
        ["bare", undefined],
      ],
    );
  });

  it("SEC-06 S21: canaries in fields, texts, errors and values of the database never reach a line", () => {
    const { log, written } = setup({ level: "debug" });
    const canary = "canary7d1f";
    const mail = `${canary}@example.com`;
    const pgError = Object.assign(new Error(`duplicate key value violates unique constraint "accounts_email_key"`), {
      code: "23505",
      constraint: "accounts_email_key",
      detail: `Key (email)=(${mail}) already exists.`,
      where: `COPY accounts, line 1: "${canary}"`,
    });
    const inputError = Object.assign(new Error(`invalid input syntax for type uuid: "${canary}"`), { code: "22P02" });
    const noted = {
      note: `from ${mail} to <${mail}>`,
      list: [mail],
      link: `/verify?x=1&code=${canary}#a`,
      sent: `Bearer ${canary}`,
      database: `postgres://shop:${canary}@db:5432/x`,
    };
    const secrets = {
      password: canary,
      newPassword: canary,
      access_token: canary,
      refreshToken: canary,
      clientSecret: canary,
      code: canary,
      Authorization: `Bearer ${canary}`,
      headers: { cookie: canary, "x-api-key": canary, "set-cookie": [canary] },
      email: mail,
      name: canary,
      firstName: canary,
      address: { street: canary, city: canary },
      shippingAddress: { line1: canary },
      user: { displayName: canary, deep: { er: { phone: canary } } },
      map: new Map([["token", canary]]),
      bytes: Buffer.from(canary),
    };
    log.info(secrets, "register");
    log.child(secrets).warn(noted, `mail to ${mail} bounced`);
    log.error({ error: pgError }, "insert");
    log.error({ error: new Error(`no account ${mail}`, { cause: inputError }) }, "lookup");
    log.error({ error: { email: mail, password: canary } }, "thrown object");
    log.error({ error: new AggregateError([new Error(`${mail}\n    at ${mail}`)], mail) }, "aggregate");
    assert.equal(written.length, 6);
    for (const line of written) assert.equal(line.includes(canary), false, line);
    assert.match(written[2] ?? "", /accounts_email_key.*23505|23505.*accounts_email_key/);
  });

  it("keeps harmless fields readable", () => {
    const { log, lines } = setup();
    const fields = { statusCode: 201, eventName: "OrderPlaced", order: "ord_1", ms: 1.5, keys: null, code: true, when: new Date(0) };
    log.info(fields, "fine");
    const { time, level, service, message, ...rest } = lines()[0] ?? {};
    assert.deepEqual([time, level, service, message].includes(undefined), false);
    assert.deepEqual(rest, { ...fields, when: "1970-01-01T00:00:00.000Z" });
  });

  it("limits the length of a line, whatever is logged", () => {
    const { log, written } = setup();
    log.info(
      { text: "x".repeat(1e6), list: Array.from({ length: 1e4 }, (_, at) => at), error: new Error("y".repeat(1e6)) },
      "z".repeat(1e6),
    );
    assert.ok((written[0] ?? "").length < 20_000);
  });

  it("S15: masking takes linear time on hostile texts", () => {
    const { log } = setup();
    const started = performance.now();
    for (const piece of ["?a-token", "&token=", "bearer ", "a@", "@", "://a", "a".repeat(64), "a.b-"]) log.info({}, piece.repeat(2_000));
    assert.ok(performance.now() - started < 500);
  });

  it("writes a short form for people on request", () => {
    const { log, written } = setup({ format: "pretty" });
    log.info({ order: "ord_1", lines: 2, note: "a b" }, "placed\u001b[2J\nforged");
    log.error({ error: new Error("boom", { cause: new TypeError("deep") }) }, "failed");
    assert.equal(written[0], '10:00:00.123 info  orders        placed\\u001b[2J\\u000aforged order=ord_1 lines=2 note="a b"\n');
    assert.match(written[1] ?? "", /error orders {8}failed\n {4}Error: boom\n {8}at .*\n[^]*caused by\n {4}TypeError: deep/);
  });
});
