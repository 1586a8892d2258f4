import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { afterTurn, atTurnEnd } from "./turn.ts";

describe("the end of a turn of the event loop", () => {
  it("comes after all that the turn handles, and flushes after what was gathered and what follows from it", async () => {
    const happened: string[] = [];
    const flushed = Promise.withResolvers<void>();
    afterTurn(() => {
      happened.push("flushed");
      flushed.resolve();
    });
    atTurnEnd(() => {
      happened.push("gathered");
      void Promise.resolve()
        .then(() => undefined)
        .then(() => happened.push("followed"));
    });
    await Promise.resolve();
    process.nextTick(() => happened.push("ticked"));
    happened.push("handled");
    await flushed.promise;
    assert.deepEqual(happened, ["handled", "ticked", "gathered", "followed", "flushed"]);
  });

  it("may be waited for again from within", async () => {
    const ended = Promise.withResolvers<number>();
    let turns = 0;
    const again = (): void => {
      if (++turns < 3) atTurnEnd(again);
      else afterTurn(() => ended.resolve(turns));
    };
    atTurnEnd(again);
    assert.equal(await ended.promise, 3);
  });
});
