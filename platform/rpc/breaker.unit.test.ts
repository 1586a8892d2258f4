import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Breaker } from "./breaker.ts";

function setup() {
  let nowMs = 1_000;
  const breaker = new Breaker({ nowMs: () => nowMs });
  const fail = (times: number) => {
    for (let n = 0; n < times; n++) breaker.failed();
  };
  return { breaker, fail, pass: (ms: number) => (nowMs += ms) };
}

describe("breaker", () => {
  it("RES-01: opens when enough of the last calls failed, and lets none through", () => {
    const { breaker, fail } = setup();
    fail(4);
    assert.deepEqual([breaker.state, breaker.admits()], ["closed", true]);
    fail(1);
    assert.deepEqual([breaker.state, breaker.admits()], ["open", false]);
  });

  it("RES-01: stays closed while most calls succeed, however many fail", () => {
    const { breaker, fail } = setup();
    for (let n = 0; n < 100; n++) {
      breaker.succeeded();
      breaker.succeeded();
      fail(1);
    }
    assert.equal(breaker.state, "closed");
  });

  it("RES-01: forgets failures of past windows", () => {
    const { breaker, fail, pass } = setup();
    fail(4);
    pass(2_000);
    fail(4);
    assert.equal(breaker.state, "closed");
    fail(1);
    assert.equal(breaker.state, "open");
  });

  it("RES-01: lets a probe through after its open time, and closes when the probe succeeds", () => {
    const { breaker, fail, pass } = setup();
    fail(5);
    pass(499);
    assert.equal(breaker.admits(), false);
    pass(1);
    assert.equal(breaker.admits(), true);
    assert.deepEqual([breaker.state, breaker.admits()], ["half-open", false]);
    breaker.succeeded();
    assert.deepEqual([breaker.state, breaker.admits()], ["closed", true]);
    fail(4);
    assert.equal(breaker.state, "closed", "it counts from the beginning");
  });

  it("RES-01: doubles its open time with each probe that fails, up to 8 s; once closed it starts at half a second again", () => {
    const { breaker, fail, pass } = setup();
    fail(5);
    for (const waitMs of [500, 1_000, 2_000, 4_000, 8_000, 8_000]) {
      pass(waitMs - 1);
      assert.equal(breaker.admits(), false, `before ${waitMs} ms`);
      pass(1);
      assert.equal(breaker.admits(), true, `after ${waitMs} ms`);
      fail(1);
      assert.equal(breaker.state, "open");
    }
    pass(8_000);
    assert.equal(breaker.admits(), true);
    breaker.succeeded();
    fail(5);
    pass(500);
    assert.equal(breaker.admits(), true);
  });

  it("RES-01: a probe whose outcome is never reported does not keep it half-open for ever", () => {
    const { breaker, fail, pass } = setup();
    fail(5);
    pass(500);
    assert.equal(breaker.admits(), true);
    assert.equal(breaker.admits(), false);
    pass(500);
    assert.equal(breaker.admits(), true);
  });

  it("calls that were under way when it opened do not open it any longer", () => {
    const { breaker, fail, pass } = setup();
    fail(5);
    fail(100);
    pass(500);
    assert.equal(breaker.admits(), true);
  });
});
