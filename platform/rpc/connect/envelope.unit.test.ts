import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { refuse } from "../../errors/refusal.ts";
import { endEnvelope, envelopesIn, messageEnvelope, onlyEnvelope } from "./envelope.ts";
import { readError } from "./error.ts";

/** A body that arrives in pieces that end at these offsets. */
async function* pieces(body: Buffer, ends: readonly number[]): AsyncGenerator<Buffer> {
  let from = 0;
  for (const to of [...ends.map((end) => end % (body.length + 1)).toSorted((a, b) => a - b), body.length]) {
    if (to > from) yield body.subarray(from, to);
    from = to;
  }
}

const read = async (body: Buffer, ends: readonly number[] = [], bytesMax = 1_000) =>
  (await Array.fromAsync(envelopesIn(pieces(body, ends), bytesMax))).map(({ body: message, end }) => [message.toString(), end]);

describe("envelopes", () => {
  it("arrive as they were sent, however the body is cut", async () => {
    const cases = fc.asyncProperty(fc.array(fc.string({ unit: "grapheme" })), fc.array(fc.nat()), async (texts, ends) => {
      const body = Buffer.concat([...texts.map((text) => messageEnvelope(text)), endEnvelope()]);
      assert.deepEqual(await read(body, ends), [...texts.map((text) => [text, false]), ["{}", true]]);
    });
    await fc.assert(cases);
  });

  it("a message of bytes and one of text travel alike", () => {
    assert.deepEqual(messageEnvelope(Buffer.from("tëa")), messageEnvelope("tëa"));
    assert.deepEqual([...messageEnvelope("tea")], [0, 0, 0, 0, 3, ...Buffer.from("tea")]);
  });

  it("the end carries a refusal", () => {
    const refusal = refuse({ reason: "NO", code: "aborted", message: "no" });
    const end = onlyEnvelope(endEnvelope(refusal));
    assert.equal(end?.end, true);
    assert.deepEqual(readError((JSON.parse(end.body.toString()) as { readonly error: unknown }).error, 200).refusal, refusal);
  });

  it("a body that ends within one, or one that is too large, throws", async () => {
    const body = messageEnvelope("tea");
    for (const cut of [1, 4, 5, 7]) await assert.rejects(read(body.subarray(0, cut)), /ended within/);
    await assert.rejects(read(messageEnvelope("n".repeat(1_001))), /too large/);
    await assert.rejects(read(Buffer.from([0, 0xff, 0xff, 0xff, 0xff])), /too large/);
  });

  it("a body is one envelope only when it is exactly one", () => {
    const one = messageEnvelope("tea");
    assert.equal(onlyEnvelope(one)?.body.toString(), "tea");
    assert.equal(onlyEnvelope(messageEnvelope(""))?.body.length, 0);
    for (const body of [Buffer.alloc(0), one.subarray(0, 4), one.subarray(0, 7), Buffer.concat([one, one])])
      assert.equal(onlyEnvelope(body), undefined);
    const compressed = Buffer.from(one);
    compressed[0] = 1;
    assert.equal(onlyEnvelope(compressed)?.compressed, true);
  });
});
