import assert from "node:assert/strict";
import { test } from "node:test";
import { encode, encodeAll, ValueError } from "./values.ts";

test("parameters go as text or as bytes", () => {
  assert.equal(encode("ab"), "ab");
  assert.equal(encode(1.5), "1.5");
  assert.equal(encode(9_007_199_254_740_993n), "9007199254740993");
  assert.equal(encode(true), "true");
  assert.equal(encode(undefined), null);
  assert.equal(encode(null), null);
  assert.equal(encode(new Date(0)), "1970-01-01T00:00:00.000Z");
  assert.equal(encode(new Date(253_402_300_800_000)), "10000-01-01T00:00:00.000Z");
  assert.deepEqual(encode(new Uint8Array([1, 2])), Buffer.from([1, 2]));
  assert.equal(encode({ a: [1] }), '{"a":[1]}');
});

test("arrays become PostgreSQL's", () => {
  assert.equal(encode(["a", 'b"\\,{}', null, undefined, ""]), '{"a","b\\"\\\\,{}",NULL,NULL,""}');
  assert.equal(encode([1, 2n]), "{1,2}");
  assert.equal(encode([["a"], ["NULL"]]), '{{"a"},{"NULL"}}');
  assert.equal(encode([Buffer.from("hi")]), '{"\\\\x6869"}');
  assert.equal(encode([]), "{}");
});

test("an unsendable value is a ValueError that names the parameter, not its value", () => {
  assert.throws(
    () => encodeAll(["secret", new Date(Number.NaN)]),
    (error) => error instanceof ValueError && error.message === "Parameter $2 cannot be sent",
  );
  assert.throws(() => encodeAll([() => 1]), ValueError);
  assert.throws(() => encodeAll([{ amount: 1n }]), ValueError);
});
