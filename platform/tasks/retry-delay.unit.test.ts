import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { refuse } from "../errors/refusal.ts";
import { failureCause } from "./failure-cause.ts";
import { retryDelayMs } from "./retry-delay.ts";

describe("the pause before a task's next try", () => {
  it("MSG-07: doubles from the queue's first up to its longest", () => {
    const delays = [1, 2, 3, 4, 5, 6].map((attempt) => retryDelayMs({ retryDelayMs: 100, retryDelayMsMax: 1_000 }, attempt, () => 0.5));
    assert.deepEqual(delays, [100, 200, 400, 800, 1_000, 1_000]);
  });

  it("MSG-07: is spread by a fifth to either side", () => {
    const queue = { retryDelayMs: 1_000 };
    assert.equal(
      retryDelayMs(queue, 1, () => 0),
      800,
    );
    assert.equal(
      retryDelayMs(queue, 1, () => 1),
      1_200,
    );
    assert.equal(
      retryDelayMs(queue, 3, () => 0.25),
      3_600,
    );
  });

  it("begins at a second and ends at ten minutes when the queue says nothing", () => {
    assert.equal(
      retryDelayMs({}, 1, () => 0.5),
      1_000,
    );
    assert.equal(
      retryDelayMs({}, 30, () => 0.5),
      600_000,
    );
  });
});

describe("the cause of a failed task", () => {
  it("is a refusal's reason and message, also when it is wrapped", () => {
    const refusal = refuse({ reason: "CARD_DECLINED", code: "failed_precondition", message: "The card was declined" });
    assert.equal(failureCause(new Error("while charging", { cause: refusal })), "CARD_DECLINED: The card was declined");
  });

  it("S21: is only a fault's class and code, because its message may quote an address", () => {
    assert.equal(failureCause(new TypeError("no such mailbox: ada@example.org")), "TypeError");
    assert.equal(failureCause(Object.assign(new Error("Key (email)=(ada@example.org)"), { code: "23505" })), "Error 23505");
    assert.equal(failureCause("ada@example.org"), "a thrown value that is no error");
  });
});
