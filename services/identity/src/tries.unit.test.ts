import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { refusalIn, refuse } from "@kontor/platform/errors/refusal.ts";
import { codeTries, createTries, loginTries } from "./tries.ts";

const right = async () => "in";
const wrong = () => Promise.reject(refuse({ reason: "CREDENTIALS_WRONG", code: "unauthenticated" }));

function open(options = loginTries) {
  let nowMs = 0;
  const cache = createMemoryCache({ maxEntries: 10_000, clock: () => nowMs });
  const { attempt } = createTries(cache, options);
  const outcome = (origin: string, work: () => Promise<string>, account = "ann") =>
    attempt(account, { origin }, work).catch((error: unknown) => refusalIn(error)?.reason);
  return { outcome, cache, pass: (ms: number) => void (nowMs += ms) };
}

describe("identity: tries at a secret", () => {
  it("S9: ten wrong ones of one address, however often it repeats them, do not keep the owner out", async () => {
    const { outcome } = open();
    const foreign = await Promise.all(Array.from({ length: 500 }, () => outcome("hostile", wrong)));
    assert.deepEqual([foreign.filter((one) => one === "CREDENTIALS_WRONG").length, foreign.at(-1)], [10, "TOO_MANY_TRIES"]);
    for (let nth = 0; nth < 50; nth++) assert.equal(await outcome("owner", right), "in");
    assert.equal(await outcome("hostile", right), "TOO_MANY_TRIES", "not even with the right one");
  });

  it("S9: while many addresses try, strangers pause together, and an address that has signed in does not", async () => {
    const { outcome, pass } = open();
    assert.equal(await outcome("home", right), "in");
    const tried: unknown[] = [];
    for (let nth = 0; nth < 100; nth++) tried.push(await outcome(`bot ${nth}`, wrong));
    assert.equal(tried.filter((one) => one === "CREDENTIALS_WRONG").length, loginTries.ofStrangersMax + 1);
    assert.equal(await outcome("home", right), "in");
    assert.equal(await outcome("travelling", right), "TOO_MANY_TRIES");
    pass(loginTries.pauseMs);
    assert.equal(await outcome("travelling", right), "in", "after the pause");
    pass(loginTries.windowMs);
    assert.equal(await outcome("bot 1", wrong), "CREDENTIALS_WRONG");
  });

  it("S9: in a day all strangers together have no more tries than the arithmetic says", async () => {
    const { outcome, pass } = open();
    let checked = 0;
    for (let second = 0; second < 3_600; second++) {
      for (let nth = 0; nth < 3; nth++) if ((await outcome(`bot ${second} ${nth}`, wrong)) === "CREDENTIALS_WRONG") checked++;
      pass(1_000);
    }
    assert.ok(checked <= 4 * 60, `${checked} in an hour, of which 5,760 a day is 240`);
  });

  it("S9: one that is right, or was not decided, takes back what it counted", async () => {
    const { outcome } = open();
    for (let nth = 0; nth < 9; nth++) await outcome("owner", wrong);
    await outcome("owner", right);
    for (let nth = 0; nth < 100; nth++) await outcome("owner", () => Promise.reject(refuse({ reason: "OVERLOADED", code: "unavailable" })));
    for (let nth = 0; nth < 10; nth++) assert.equal(await outcome("owner", wrong), "CREDENTIALS_WRONG");
    assert.equal(await outcome("owner", wrong), "TOO_MANY_TRIES");
    assert.equal(await outcome("owner", right, "another account"), "in");
  });

  it("S9: the right secret at the same time, however often, neither locks its owner out nor earns tries", async () => {
    for (const atOnce of [3, 10, 100]) {
      const { outcome, cache } = open();
      for (let round = 0; round < 10; round++) {
        assert.equal(await outcome("owner", right), "in", `after ${round} times ${atOnce} at once`);
        const waits = Promise.withResolvers<string>();
        const all = Array.from({ length: atOnce }, () => outcome("owner", () => waits.promise));
        await new Promise(setImmediate);
        waits.resolve("in");
        assert.equal((await Promise.all(all)).filter((one) => one === "in").length, Math.min(atOnce, loginTries.ofAddressMax));
      }
      for (const key of ["login:ann:owner", "login:ann"]) assert.equal((await cache.increment(key, 0, loginTries.windowMs)).count, 0, key);
      for (let nth = 0; nth < 10; nth++) assert.equal(await outcome("owner", wrong), "CREDENTIALS_WRONG");
      assert.equal(await outcome("owner", wrong), "TOO_MANY_TRIES");
    }
  });

  it("S9, S18: no number of tries that were not decided, nor of other counters, makes those of a few thousand accounts refuse their owners", async () => {
    const { outcome, cache } = open();
    for (let nth = 0; nth < 20_000; nth++) {
      await cache.increment(`rate:guest-register:${nth}`, 1, loginTries.windowMs);
      await outcome("hostile", () => Promise.reject(refuse({ reason: "OVERLOADED", code: "unavailable" })), `nobody ${nth}`);
    }
    for (let nth = 0; nth < 4_000; nth++) await outcome(`bot ${nth}`, wrong, `nobody ${nth}`);
    for (let nth = 0; nth < 500; nth++) assert.equal(await outcome(`home ${nth}`, right, `owner ${nth}`), "in");
  });

  it("S9: filling the cache brings nobody another try", async () => {
    const { outcome, cache } = open(codeTries);
    const guess = () => Promise.reject(refuse({ reason: "CODE_WRONG", code: "invalid_argument" }));
    for (let nth = 0; nth < 10; nth++) await outcome("hostile", guess);
    for (let nth = 0; nth < 20_000; nth++) await cache.set(`junk ${nth}`, nth, 600_000);
    assert.equal(await outcome("hostile", guess), "TOO_MANY_TRIES");
  });
});
