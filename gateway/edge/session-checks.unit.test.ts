import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { createSessionChecks } from "./session-checks.ts";

/** Questions that are answered by hand. */
function setup() {
  const asked: { readonly sessions: readonly string[]; readonly answer: PromiseWithResolvers<readonly string[]> }[] = [];
  const told: string[] = [];
  const say = (_: object, message: string): void => void told.push(message);
  const log: Logger = { debug: say, info: say, warn: say, error: say, child: () => log };
  const clock = { nowMs: 5 };
  const ask = createSessionChecks({
    check: (sessions) => {
      const answer = Promise.withResolvers<readonly string[]>();
      asked.push({ sessions, answer });
      return answer.promise;
    },
    log,
    nowMs: () => clock.nowMs,
  });
  return { ask, asked, told, clock };
}

/** Lets all that can go on go on. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("questions about sessions", () => {
  it("asks at once, and for all that come meanwhile in the next question", async () => {
    const { ask, asked } = setup();
    const first = ask("a");
    const rest = ["b", "c", "b", "a"].map(ask);
    assert.deepEqual(
      asked.map(({ sessions }) => sessions),
      [["a"]],
    );
    asked[0]!.answer.resolve(["a"]);
    assert.equal(await first, "live");
    await settled();
    assert.deepEqual(asked[1]?.sessions, ["b", "c", "a"]);
    asked[1].answer.resolve(["b"]);
    assert.deepEqual(await Promise.all(rest), ["live", "ended", "live", "ended"]);
    await settled();
    assert.equal(asked.length, 2);
    void ask("a");
    assert.equal(asked.length, 3);
  });

  it("ID-05: nobody is told what was asked before he came", async () => {
    const { ask, asked } = setup();
    const early = ask("a");
    const late = ask("a");
    asked[0]!.answer.resolve(["a"]);
    assert.equal(await early, "live");
    await settled();
    asked[1]!.answer.resolve([]);
    assert.equal(await late, "ended");
  });

  it("asks for 500 at a time", async () => {
    const { ask, asked } = setup();
    const all = Array.from({ length: 1_202 }, (_, n) => ask(`s${n}`));
    for (let nth = 0; nth < 4; nth++) {
      asked[nth]!.answer.resolve([]);
      await settled();
    }
    assert.deepEqual(
      asked.map(({ sessions }) => sessions.length),
      [1, 500, 500, 201],
    );
    assert.equal(new Set(await Promise.all(all)).size, 1);
  });

  it("RES-06: an answer that does not come says nothing, and nobody is asked again for a second", async () => {
    const { ask, asked, told, clock } = setup();
    const waiting = [ask("a"), ask("b")];
    asked[0]!.answer.reject(new Error("identity is away"));
    assert.deepEqual(await Promise.all(waiting), [undefined, undefined]);
    assert.equal(await ask("a"), undefined);
    assert.equal(asked.length, 1);
    clock.nowMs += 1_000;
    const again = ask("a");
    asked[1]!.answer.reject(new Error("identity is still away"));
    assert.equal(await again, undefined);
    clock.nowMs += 1_000;
    const back = ask("a");
    asked[2]!.answer.resolve(["a"]);
    assert.equal(await back, "live");
    assert.deepEqual(told, ["sessions cannot be checked; verified access tokens are accepted without it", "sessions are checked again"]);
  });
});
