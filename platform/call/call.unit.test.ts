import assert from "node:assert/strict";
import { once } from "node:events";
import { performance } from "node:perf_hooks";
import { describe, it } from "node:test";
import { rootCall } from "./call.ts";

describe("a call made of another", () => {
  it("RES-03: is aborted at its own, shorter deadline, also when the first one's signal was used before", async () => {
    const call = rootCall({ caller: "test", timeoutMs: 60_000 });
    assert.equal(call.signal.aborted, false);
    const { signal } = call.with({ deadlineMs: performance.now() + 5 });
    if (!signal.aborted) await once(signal, "abort");
    assert.deepEqual([signal.aborted, call.signal.aborted], [true, false]);
  });

  it("is aborted with the one that it was made of", () => {
    const whole = new AbortController();
    const call = rootCall({ caller: "test", timeoutMs: 60_000, signal: whole.signal });
    const { signal } = call.with({ deadlineMs: performance.now() + 30_000 });
    whole.abort();
    assert.equal(signal.aborted, true);
  });
});
