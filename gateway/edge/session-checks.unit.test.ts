import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { createSessionChecks } from "./session-checks.ts";

/** Checks whose calls the test completes by hand. */
function setup() {
  const calls: { readonly sessions: readonly string[]; readonly result: PromiseWithResolvers<readonly string[]> }[] = [];
  const logged: string[] = [];
  const say = (_: object, message: string): void => void logged.push(message);
  const log: Logger = { debug: say, info: say, warn: say, error: say, child: () => log };
  const clock = { nowMs: 5 };
  const checkSession = createSessionChecks({
    check: (sessions) => {
      const result = Promise.withResolvers<readonly string[]>();
      calls.push({ sessions, result });
      return result.promise;
    },
    log,
    nowMs: () => clock.nowMs,
  });
  return { checkSession, calls, logged, clock };
}

/** Resolves when everything that can continue has continued. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("session checks", () => {
  it("calls at once, and once more for all that arrive during the call", async () => {
    const { checkSession, calls } = setup();
    const first = checkSession("a");
    const rest = ["b", "c", "b", "a"].map(checkSession);
    assert.deepEqual(
      calls.map(({ sessions }) => sessions),
      [["a"]],
    );
    calls[0]!.result.resolve(["a"]);
    assert.equal(await first, "live");
    await settled();
    assert.deepEqual(calls[1]?.sessions, ["b", "c", "a"]);
    calls[1].result.resolve(["b"]);
    assert.deepEqual(await Promise.all(rest), ["live", "ended", "live", "ended"]);
    await settled();
    assert.equal(calls.length, 2);
    void checkSession("a");
    assert.equal(calls.length, 3);
  });

  it("ID-05: a call that began earlier does not decide for a later request", async () => {
    const { checkSession, calls } = setup();
    const early = checkSession("a");
    const late = checkSession("a");
    calls[0]!.result.resolve(["a"]);
    assert.equal(await early, "live");
    await settled();
    calls[1]!.result.resolve([]);
    assert.equal(await late, "ended");
  });

  it("checks 500 sessions at a time", async () => {
    const { checkSession, calls } = setup();
    const all = Array.from({ length: 1_202 }, (_, n) => checkSession(`s${n}`));
    for (let nth = 0; nth < 4; nth++) {
      calls[nth]!.result.resolve([]);
      await settled();
    }
    assert.deepEqual(
      calls.map(({ sessions }) => sessions.length),
      [1, 500, 500, 201],
    );
    assert.equal(new Set(await Promise.all(all)).size, 1);
  });

  it("RES-06: a failed call leaves the state unknown, and none is made for a second", async () => {
    const { checkSession, calls, logged, clock } = setup();
    const waiting = [checkSession("a"), checkSession("b")];
    calls[0]!.result.reject(new Error("identity is unavailable"));
    assert.deepEqual(await Promise.all(waiting), [undefined, undefined]);
    assert.equal(await checkSession("a"), undefined);
    assert.equal(calls.length, 1);
    clock.nowMs += 1_000;
    const again = checkSession("a");
    calls[1]!.result.reject(new Error("identity is still unavailable"));
    assert.equal(await again, undefined);
    clock.nowMs += 1_000;
    const back = checkSession("a");
    calls[2]!.result.resolve(["a"]);
    assert.equal(await back, "live");
    assert.deepEqual(logged, ["sessions cannot be checked; verified access tokens are accepted without it", "sessions are checked again"]);
  });
});
