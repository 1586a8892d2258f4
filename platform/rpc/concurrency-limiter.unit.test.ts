import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { performance } from "node:perf_hooks";
import { refusalIn } from "../errors/refusal.ts";
import { ConcurrencyLimiter, SharedQueueLimit } from "./concurrency-limiter.ts";

describe("admission", () => {
  it("lets in at once while there is room, then makes wait, then refuses", async () => {
    const door = new ConcurrencyLimiter({ inFlight: 2, waiting: 1 });
    assert.equal(door.enter(false), undefined);
    assert.equal(door.enter(false), undefined);
    const third = door.enter(false);
    assert.ok(third instanceof Promise);
    assert.throws(
      () => door.enter(false),
      (error) => refusalIn(error)?.reason === "OVERLOADED" && refusalIn(error)?.retryAfterMs !== undefined,
    );
    door.leave();
    await third;
    assert.deepEqual([door.inFlight, door.waiting], [2, 0]);
    door.leave();
    door.leave();
    assert.equal(door.inFlight, 0);
  });

  it("serves in order, urgent work first", async () => {
    const door = new ConcurrencyLimiter({ inFlight: 1, waiting: 10 });
    const order: string[] = [];
    void door.enter(false);
    const waits = (["a", "b", "U", "c", "V"] as const).map((name) => door.enter(name < "a")!.then(() => order.push(name)));
    for (let n = 0; n < 5; n++) door.leave();
    await Promise.all(waits);
    assert.deepEqual(order, ["U", "V", "a", "b", "c"]);
  });

  it("turns the youngest ordinary waiter away for an urgent one, never an urgent one", async () => {
    const door = new ConcurrencyLimiter({ inFlight: 1, waiting: 2 });
    void door.enter(false);
    const old = door.enter(false)!;
    const young = door.enter(false)!.then(
      () => "served",
      (error: unknown) => refusalIn(error)?.reason,
    );
    const urgent = door.enter(true)!;
    assert.equal(await young, "OVERLOADED");
    assert.equal(door.full(false), true);
    assert.equal(door.full(true), false);
    const second = door.enter(true)!;
    await assert.rejects(old);
    assert.throws(() => door.enter(true));
    door.leave();
    await urgent;
    door.leave();
    await second;
  });

  it("does not let in who has given up", async () => {
    const door = new ConcurrencyLimiter({ inFlight: 1, waiting: 10 });
    void door.enter(false);
    const late = door.enter(false, performance.now() - 1)!;
    const good = door.enter(false, performance.now() + 60_000)!;
    door.leave();
    await assert.rejects(late);
    await good;
    assert.deepEqual([door.inFlight, door.waiting], [1, 0]);
  });

  it("RES-05: refuses who has waited for too long, though nobody leaves, and keeps nothing of them", async () => {
    const door = new ConcurrencyLimiter({ inFlight: 1, waiting: 3, waitMs: 30 });
    void door.enter(false);
    const startedMs = performance.now();
    const waits = [door.enter(false)!, door.enter(true)!, door.enter(false, performance.now() + 5)!];
    assert.equal(door.waiting, 3);
    const reasons = await Promise.all(
      waits.map((wait) =>
        wait.then(
          () => "served",
          (error: unknown) => refusalIn(error)?.reason,
        ),
      ),
    );
    assert.deepEqual(reasons, ["OVERLOADED", "OVERLOADED", "OVERLOADED"]);
    assert.ok(performance.now() - startedMs >= 30);
    assert.deepEqual([door.inFlight, door.waiting], [1, 0]);
    door.leave();
    assert.equal(door.inFlight, 0);
    assert.equal(door.enter(false), undefined);
  });

  it("lets the others go on in their order when one in the middle has given up", async () => {
    const door = new ConcurrencyLimiter({ inFlight: 1, waiting: 10 });
    void door.enter(false);
    const order: string[] = [];
    const [a, b, c] = [Infinity, performance.now() + 15, Infinity].map((deadlineMs) => door.enter(false, deadlineMs)!);
    await assert.rejects(b!);
    const served = [a!.then(() => order.push("a")), c!.then(() => order.push("c"))];
    door.leave();
    door.leave();
    await Promise.all(served);
    assert.deepEqual(order, ["a", "c"]);
  });

  it("RES-05: a queue at one limiter leaves each other its share, and no more wait than may", async () => {
    const sharedQueue = new SharedQueueLimit(4, 2);
    const limits = { inFlight: 0, waiting: 10, waitMs: 60_000 };
    const [busy, other] = [new ConcurrencyLimiter(limits, sharedQueue), new ConcurrencyLimiter(limits, sharedQueue)];
    const waits = Array.from({ length: 4 }, () => busy.enter(false)!);
    assert.throws(() => busy.enter(false));
    waits.push(other.enter(false)!, other.enter(false)!);
    assert.throws(() => other.enter(false));
    assert.equal(sharedQueue.waiting, 6);
    const urgent = busy.enter(true)!;
    const [first] = await Promise.allSettled([waits[3]!]);
    assert.equal(first.status, "rejected", "who came last makes room for the urgent one");
    assert.equal(sharedQueue.waiting, 6);
    for (let n = 0; n < 4; n++) busy.leave();
    for (let n = 0; n < 2; n++) other.leave();
    await Promise.allSettled([...waits, urgent]);
    assert.equal(sharedQueue.waiting, 0);
  });

  it("keeps its order over thousands", async () => {
    const door = new ConcurrencyLimiter({ inFlight: 1, waiting: 5000 });
    void door.enter(false);
    const order: number[] = [];
    const waits = Array.from({ length: 5000 }, (_, n) => door.enter(false)!.then(() => order.push(n)));
    for (let n = 0; n < 5000; n++) door.leave();
    await Promise.all(waits);
    assert.deepEqual(
      order,
      Array.from({ length: 5000 }, (_, n) => n),
    );
  });
});
