import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { performance } from "node:perf_hooks";
import { refusalIn } from "../errors/refusal.ts";
import { ConcurrencyLimiter, SharedQueueLimit } from "./concurrency-limiter.ts";

describe("concurrency limiter", () => {
  it("admits at once while there is a slot, then queues, then refuses", async () => {
    const limiter = new ConcurrencyLimiter({ inFlight: 2, waiting: 1 });
    assert.equal(limiter.enter(false), undefined);
    assert.equal(limiter.enter(false), undefined);
    const third = limiter.enter(false);
    assert.ok(third instanceof Promise);
    assert.throws(
      () => limiter.enter(false),
      (error) => refusalIn(error)?.reason === "OVERLOADED" && refusalIn(error)?.retryAfterMs !== undefined,
    );
    limiter.leave();
    await third;
    assert.deepEqual([limiter.inFlight, limiter.waiting], [2, 0]);
    limiter.leave();
    limiter.leave();
    assert.equal(limiter.inFlight, 0);
  });

  it("admits in order, urgent calls first", async () => {
    const limiter = new ConcurrencyLimiter({ inFlight: 1, waiting: 10 });
    const order: string[] = [];
    void limiter.enter(false);
    const waits = (["a", "b", "U", "c", "V"] as const).map((name) => limiter.enter(name < "a")!.then(() => order.push(name)));
    for (let n = 0; n < 5; n++) limiter.leave();
    await Promise.all(waits);
    assert.deepEqual(order, ["U", "V", "a", "b", "c"]);
  });

  it("refuses the youngest ordinary waiting call for an urgent one, never an urgent one", async () => {
    const limiter = new ConcurrencyLimiter({ inFlight: 1, waiting: 2 });
    void limiter.enter(false);
    const old = limiter.enter(false)!;
    const young = limiter.enter(false)!.then(
      () => "served",
      (error: unknown) => refusalIn(error)?.reason,
    );
    const urgent = limiter.enter(true)!;
    assert.equal(await young, "OVERLOADED");
    assert.equal(limiter.full(false), true);
    assert.equal(limiter.full(true), false);
    const second = limiter.enter(true)!;
    await assert.rejects(old);
    assert.throws(() => limiter.enter(true));
    limiter.leave();
    await urgent;
    limiter.leave();
    await second;
  });

  it("does not admit a call whose deadline has passed", async () => {
    const limiter = new ConcurrencyLimiter({ inFlight: 1, waiting: 10 });
    void limiter.enter(false);
    const late = limiter.enter(false, performance.now() - 1)!;
    const good = limiter.enter(false, performance.now() + 60_000)!;
    limiter.leave();
    await assert.rejects(late);
    await good;
    assert.deepEqual([limiter.inFlight, limiter.waiting], [1, 0]);
  });

  it("RES-05: refuses a call that has waited too long, even when no slot becomes free, and removes it from the queue", async () => {
    const limiter = new ConcurrencyLimiter({ inFlight: 1, waiting: 3, waitMs: 30 });
    void limiter.enter(false);
    const startedMs = performance.now();
    const waits = [limiter.enter(false)!, limiter.enter(true)!, limiter.enter(false, performance.now() + 5)!];
    assert.equal(limiter.waiting, 3);
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
    assert.deepEqual([limiter.inFlight, limiter.waiting], [1, 0]);
    limiter.leave();
    assert.equal(limiter.inFlight, 0);
    assert.equal(limiter.enter(false), undefined);
  });

  it("keeps the order of the others when a call in the middle of the queue expires", async () => {
    const limiter = new ConcurrencyLimiter({ inFlight: 1, waiting: 10 });
    void limiter.enter(false);
    const order: string[] = [];
    const [a, b, c] = [Infinity, performance.now() + 15, Infinity].map((deadlineMs) => limiter.enter(false, deadlineMs)!);
    await assert.rejects(b!);
    const served = [a!.then(() => order.push("a")), c!.then(() => order.push("c"))];
    limiter.leave();
    limiter.leave();
    await Promise.all(served);
    assert.deepEqual(order, ["a", "c"]);
  });

  it("RES-05: a full queue at one limiter leaves each other its share, and no more calls wait than the shared limit", async () => {
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

  it("keeps its order over thousands of calls", async () => {
    const limiter = new ConcurrencyLimiter({ inFlight: 1, waiting: 5000 });
    void limiter.enter(false);
    const order: number[] = [];
    const waits = Array.from({ length: 5000 }, (_, n) => limiter.enter(false)!.then(() => order.push(n)));
    for (let n = 0; n < 5000; n++) limiter.leave();
    await Promise.all(waits);
    assert.deepEqual(
      order,
      Array.from({ length: 5000 }, (_, n) => n),
    );
  });

  it("S16: leaves slots and places for another while one client takes all that it gets", async () => {
    const limiter = new ConcurrencyLimiter({ inFlight: 8, waiting: 20 });
    let [running, refused] = [0, 0];
    const hostile = (): void => {
      if (limiter.full(false, "hostile")) return void refused++;
      const wait = limiter.enter(false, Infinity, "hostile");
      if (wait === undefined) return void running++;
      wait.then(
        () => running++,
        () => refused++,
      );
    };
    for (let n = 0; n < 100; n++) hostile();
    assert.deepEqual([running, limiter.waiting, refused], [5, 20, 75]);
    for (let n = 0; n < 2; n++) assert.equal(limiter.enter(false, Infinity, "other"), undefined, "at once");
    const others = [];
    for (let n = 0; n < 10; n++) {
      assert.equal(limiter.full(false, "other"), false);
      others.push(limiter.enter(false, Infinity, "other")!);
      hostile();
    }
    assert.equal(limiter.waiting, 20);
    assert.throws(() => limiter.enter(false, Infinity, "other"), "each has half of the queue");
    for (let n = 0; n < 30; n++) limiter.leave(n % 2 === 0 ? "hostile" : "other");
    await Promise.all(others);
  });

  it("S16: gives waiting clients turns, however many calls one of them has", async () => {
    const limiter = new ConcurrencyLimiter({ inFlight: 1, waiting: 100 });
    const order: string[] = [];
    void limiter.enter(false, Infinity, "hostile");
    const waits = ["hostile", "hostile", "hostile", "ann", "bo", "ann"].map((client) =>
      limiter.enter(false, Infinity, client)!.then(() => order.push(client)),
    );
    for (const client of ["hostile", "hostile", "ann", "bo", "hostile", "ann"]) {
      limiter.leave(client);
      await new Promise(setImmediate);
    }
    await Promise.all(waits);
    assert.deepEqual(order, ["hostile", "ann", "bo", "hostile", "ann", "hostile"]);
  });

  it("S16: a slot that its client may not have yet is given when it may", async () => {
    const limiter = new ConcurrencyLimiter({ inFlight: 4, waiting: 100 });
    for (let n = 0; n < 3; n++) assert.equal(limiter.enter(false, Infinity, "ann"), undefined);
    const fourth = limiter.enter(false, Infinity, "ann");
    assert.ok(fourth instanceof Promise, "she has three, and one is free");
    limiter.leave("ann");
    await fourth;
    assert.deepEqual([limiter.inFlight, limiter.waiting], [3, 0]);
  });
});
