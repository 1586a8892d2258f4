import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { takeTurns } from "./take-turns.ts";

function open() {
  const inTurn = takeTurns<number>();
  const loads: PromiseWithResolvers<number>[] = [];
  const ask = (key = "a") =>
    inTurn(key, () => {
      const load = Promise.withResolvers<number>();
      loads.push(load);
      return load.promise;
    });
  return { ask, loads };
}

describe("catalog: turns", () => {
  it("loads once for the first, and once more for all who come while it loads", async () => {
    const { ask, loads } = open();
    const first = ask();
    const later = [ask(), ask(), ask()];
    assert.equal(loads.length, 1);
    loads[0]!.resolve(1);
    assert.equal(await first, 1);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(loads.length, 2);
    const last = ask();
    loads[1]!.resolve(2);
    assert.deepEqual(await Promise.all(later), [2, 2, 2]);
    await new Promise((resolve) => setImmediate(resolve));
    loads[2]!.resolve(3);
    assert.equal(await last, 3);
    assert.equal(loads.length, 3);
  });

  it("goes on after a failure, which is for those who waited for that load only, and keys do not wait for each other", async () => {
    const { ask, loads } = open();
    const [failing, later, other] = [ask(), ask(), ask("b")];
    loads[1]!.resolve(7);
    assert.equal(await other, 7);
    loads[0]!.reject(new Error("failed"));
    await assert.rejects(failing, /failed/);
    await new Promise((resolve) => setImmediate(resolve));
    loads[2]!.resolve(8);
    assert.equal(await later, 8);
  });
});
