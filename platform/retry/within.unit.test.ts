import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { within } from "./within.ts";

describe("within", () => {
  it("gives what the promise gives, or its rejection, in time", async () => {
    assert.equal(await within(1_000, Promise.resolve("done")), "done");
    await assert.rejects(within(1_000, Promise.reject(new Error("failed"))), /failed/);
  });

  it("gives undefined, or what `late` makes of it, when the time is over", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const never = new Promise<string>(() => undefined);
    const outcomes = Promise.allSettled([
      within(100, never),
      within(100, never, { late: () => "late" }),
      within(100, never, {
        late: () => {
          throw new Error("too late");
        },
      }),
    ]);
    t.mock.timers.tick(100);
    const [nothing, late, thrown] = await outcomes;
    assert.deepEqual(nothing, { status: "fulfilled", value: undefined });
    assert.deepEqual(late, { status: "fulfilled", value: "late" });
    assert.match(String(thrown.status === "rejected" && thrown.reason), /too late/);
  });
});
