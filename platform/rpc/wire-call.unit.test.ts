import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Call } from "../call/call.ts";
import { decodeCall, decodeFacts, encodeFacts, formatFacts } from "./wire-call.ts";

const text = fc.string({ unit: "grapheme" });
const user = fc.record(
  { id: text, session: text, roles: fc.array(text, { maxLength: 3 }), verified: fc.boolean() },
  { noNullPrototype: true },
);
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

describe("a call's facts in headers", () => {
  it("arrive as they were sent", () => {
    const calls = fc.record({
      user: maybe(user),
      idempotencyKey: maybe(text),
      correlation: text,
      causation: maybe(text),
      origin: maybe(text),
    });
    fc.assert(
      fc.property(calls, (given) => {
        const call = new Call({ caller: "orders", deadlineMs: Infinity, ...given });
        const facts = encodeFacts(call);
        assert.match(facts, /^[\w-]*$/, "fit for a header");
        const read = decodeCall({ caller: "orders", facts: decodeFacts(facts), timeoutMs: 1_000 });
        assert.deepEqual(
          [read?.user, read?.idempotencyKey, read?.correlation, read?.causation, read?.trace, read?.origin],
          [call.user, call.idempotencyKey, call.correlation, call.causation, call.trace, call.origin],
        );
      }),
    );
  });

  it("RES-03: its time is what was left of it when it was sent, an hour at most", () => {
    const facts = formatFacts(new Call({ caller: "orders", deadlineMs: Infinity }));
    const left = (timeoutMs: number) => decodeCall({ caller: "orders", facts, timeoutMs })!.deadlineMs - performance.now();
    assert.ok(left(1_000) > 900 && left(1_000) <= 1_000);
    assert.ok(left(-5) < 0);
    assert.ok(left(Infinity) <= 3_600_000);
    assert.equal(decodeCall({ caller: "orders", facts, timeoutMs: Number.NaN }), undefined);
  });

  it("are no call when they are anything else", () => {
    fc.assert(fc.property(fc.string(), (facts) => decodeCall({ caller: "orders", facts, timeoutMs: 1_000 }) === undefined));
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const facts = Buffer.from(JSON.stringify(value)).toString("base64url");
        return decodeCall({ caller: "orders", facts, timeoutMs: 1_000 }) === undefined;
      }),
    );
    const odd = [
      { u: "admin" },
      { u: [] },
      { u: ["usr_1", "ses_1", "admin", true] },
      { u: ["usr_1", "ses_1", [1], true] },
      { k: 1 },
      { b: {} },
      { o: 7 },
    ];
    for (const more of odd) {
      const facts = Buffer.from(JSON.stringify({ s: "a-b", c: "c", ...more })).toString("base64url");
      assert.equal(decodeCall({ caller: "orders", facts, timeoutMs: 1_000 }), undefined, JSON.stringify(more));
    }
  });
});
