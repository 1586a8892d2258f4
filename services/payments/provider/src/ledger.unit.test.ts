import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { entryIds } from "./ledger.ts";

describe("ids of entries", () => {
  it("R26: a reader does not get ids behind which one may still be missing", async () => {
    let last = 0;
    const ids = entryIds(() => `ch_${++last}`);
    assert.equal(ids.horizon(), "~");
    const first = Promise.withResolvers<void>();
    const second = Promise.withResolvers<void>();
    const writing = [ids.use(() => first.promise), ids.use(() => second.promise), ids.use(() => Promise.resolve())];
    await writing[2];
    assert.equal(ids.horizon(), "ch_1");
    second.reject(new Error("it failed"));
    await assert.rejects(writing[1]!);
    assert.equal(ids.horizon(), "ch_1");
    first.resolve();
    await writing[0];
    assert.equal(ids.horizon(), "~");
  });
});
