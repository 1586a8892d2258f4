import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { decodeHead, encodeHead, frameKind, FrameReader, pieceBytes, prefixBytes, writePrefix } from "./frames.ts";
import type { Frame } from "./frames.ts";

const framed = fc.record(
  { kind: fc.constantFrom(...Object.values(frameKind)), call: fc.nat(), content: fc.uint8Array({ maxLength: 300 }) },
  { noNullPrototype: true },
);

function bytesOf({ kind, call, content }: { readonly kind: number; readonly call: number; readonly content: Uint8Array }): Buffer {
  const bytes = Buffer.alloc(prefixBytes + content.length);
  bytes.set(content, writePrefix(bytes, 0, { kind, call, bytes: content.length }));
  return bytes;
}

describe("frames", () => {
  it("arrive whole and in order, wherever the chunks begin and end", () => {
    fc.assert(
      fc.property(fc.array(framed), fc.array(fc.integer({ min: 1, max: 50 })), (sent, lengths) => {
        const bytes = Buffer.concat(sent.map(bytesOf));
        const reader = new FrameReader();
        const read: Frame[] = [];
        for (let at = 0, n = 0; at < bytes.length; n++) {
          const end = at + (lengths[n % Math.max(1, lengths.length)] ?? bytes.length);
          read.push(...reader.read(bytes.subarray(at, end)));
          at = end;
        }
        assert.deepEqual(
          read.map(({ kind, call, content }) => ({ kind, call, content: new Uint8Array(content) })),
          sent,
        );
      }),
    );
  });

  it("a frame that is not complete is none yet", () => {
    const bytes = bytesOf({ kind: frameKind.reply, call: 1, content: Buffer.from("reply") });
    const reader = new FrameReader();
    for (const byte of bytes.subarray(0, -1)) assert.deepEqual([...reader.read(Buffer.of(byte))], []);
    assert.equal([...reader.read(bytes.subarray(-1))].length, 1);
  });

  it("a length that no frame has is refused before anything is collected", () => {
    for (const length of [0, prefixBytes - 5, 2 * pieceBytes, 0xffff_ffff]) {
      const bytes = Buffer.alloc(prefixBytes);
      bytes.writeUInt32BE(length, 0);
      assert.throws(() => [...new FrameReader().read(bytes)], /a frame of \d+ bytes/);
    }
  });
});

describe("the head of a call", () => {
  const text = fc.string({ unit: "grapheme" });
  const timeoutMs = fc.option(fc.integer({ min: 0, max: 3_600_000 }), { nil: undefined });
  const heads = fc.record({ path: text, facts: text, timeoutMs }, { noNullPrototype: true });

  it("arrives as it was sent, with the request behind it", () => {
    fc.assert(
      fc.property(heads, fc.uint8Array(), (head, body) => {
        const read = decodeHead(Buffer.concat([encodeHead(head), body]));
        assert.deepEqual(read.head, head);
        assert.deepEqual(new Uint8Array(read.rest), body);
      }),
    );
  });

  it("one that is cut off is refused", () => {
    fc.assert(
      fc.property(heads, fc.nat(), (head, at) => {
        const bytes = encodeHead(head);
        assert.throws(() => decodeHead(bytes.subarray(0, at % bytes.length)));
      }),
    );
  });
});
