import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { coalesceLoads } from "./coalesce-loads.ts";

function open() {
  const coalesced = coalesceLoads<number>();
  const loads: PromiseWithResolvers<number>[] = [];
  const load = (key = "a") =>
    coalesced(key, () => {
      const pending = Promise.withResolvers<number>();
      loads.push(pending);
      return pending.promise;
    });
  return { load, loads };
}

describe("catalog: coalesced loads", () => {
  it("loads once for the first, and once more for all who come while it loads", async () => {
    const { load, loads } = open();
    const first = load();
    const later = [load(), load(), load()];
    assert.equal(loads.length, 1);
    loads[0]!.resolve(1);
    assert.equal(await first, 1);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(loads.length, 2);
    const last = load();
    loads[1]!.resolve(2);
    assert.deepEqual(await Promise.all(later), [2, 2, 2]);
    await new Promise((resolve) => setImmediate(resolve));
    loads[2]!.resolve(3);
    assert.equal(await last, 3);
    assert.equal(loads.length, 3);
  });

  it("works again after a failure, which is for those who waited for that load only, and keys do not wait for each other", async () => {
    const { load, loads } = open();
    const [failing, later, other] = [load(), load(), load("b")];
    loads[1]!.resolve(7);
    assert.equal(await other, 7);
    loads[0]!.reject(new Error("failed"));
    await assert.rejects(failing, /failed/);
    await new Promise((resolve) => setImmediate(resolve));
    loads[2]!.resolve(8);
    assert.equal(await later, 8);
  });
});
