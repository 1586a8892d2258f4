import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { firstField } from "./first-field.ts";

describe("a message's first field", () => {
  it("is taken as it is, and not from a message that is cut off", () => {
    const inner = Buffer.alloc(300, 7);
    const message = Buffer.concat([Buffer.from([0x0a, 0xac, 0x02]), inner, Buffer.from([0x10, 0x01])]);
    assert.deepEqual(firstField(message), inner);
    assert.deepEqual(firstField(Buffer.from([0x0a, 0x00])), Buffer.alloc(0));
    for (const broken of [
      Buffer.alloc(0),
      Buffer.from([0x12, 0x00]),
      Buffer.from([0x0a]),
      message.subarray(0, 100),
      Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
    ])
      assert.equal(firstField(broken), undefined);
  });
});
