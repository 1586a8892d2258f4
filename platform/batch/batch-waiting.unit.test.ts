import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { refusalIn } from "../errors/refusal.ts";
import { heapUsed } from "../testing/heap-used.ts";
import { again, createBatch } from "./batch.ts";
import { anyCall, lateCall, openTestBatch, turn } from "./test-batch.ts";

const reason = (expected: string) => (error: unknown) => refusalIn(error)?.reason === expected;

describe("batches: who waits", () => {
  it("a call that is over before its turn comes is not executed, and those behind it are", async () => {
    const { runAll, run, executions, begun } = openTestBatch({ itemsMax: 2 });
    const first = runAll("a");
    await assert.rejects(run("late", lateCall()), reason("DEADLINE_EXCEEDED"));
    const cancelled = new AbortController();
    const given = run("cancelled", anyCall().with({ signal: cancelled.signal }));
    const behind = runAll("b", "c");
    cancelled.abort();
    executions[0]!.end();
    await assert.rejects(given, reason("DEADLINE_EXCEEDED"));
    await turn();
    executions[1]!.end();
    await Promise.all([...first, ...behind]);
    assert.deepEqual(begun(), [["a"], ["b", "c"]], "it takes no place in the batch");
  });

  it("one who is cancelled while it is executed gets the outcome", async () => {
    const { run, executions } = openTestBatch();
    const cancelled = new AbortController();
    const done = run("a", anyCall().with({ signal: cancelled.signal }));
    await turn();
    cancelled.abort();
    executions[0]!.end();
    assert.equal(await done, "did a");
  });

  it("when waitingMax wait, the next is refused with OVERLOADED; those under way do not count", async () => {
    const { runAll, run, executions } = openTestBatch({ waitingMax: 3 });
    const under = runAll("a", "b", "c");
    await assert.rejects(run("d", anyCall()), reason("OVERLOADED"));
    await turn();
    const wait = runAll("e", "f", "g");
    await assert.rejects(run("h", anyCall()), (error) => {
      const { code, retryAfterMs } = refusalIn(error)!;
      return code === "unavailable" && retryAfterMs === 1_000;
    });
    executions[0]!.end();
    await turn();
    const next = runAll("i");
    executions[1]!.end();
    await turn();
    executions[2]!.end();
    await Promise.all([...under, ...wait, ...next]);
  });

  it("behind a batch that stalls, goes in a further one after 100 ms, though nobody comes any more", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const { runAll, executions, begun, idle } = openTestBatch({ keyOf: (request) => request[0]! });
    const all = runAll("a1");
    await turn();
    all.push(...runAll("a2", "b1"));
    t.mock.timers.tick(99);
    await turn();
    assert.equal(executions.length, 1);
    t.mock.timers.tick(1);
    await turn();
    assert.deepEqual(begun(), [["a1"], ["b1"]], "but for what the stalled one is about");
    // The others go one after the other, and none of them waits for 100 ms.
    for (const request of ["c1", "d1", "e1"]) {
      all.push(...runAll(request));
      await turn();
      executions.at(-1)!.end();
      await turn();
    }
    executions.at(-1)!.end();
    all.push(...runAll("f1"));
    await turn();
    executions[0]!.end();
    await turn();
    assert.deepEqual(begun().slice(2), [["c1"], ["d1"], ["e1"], ["f1"]], "one is waited for while it has not stalled");
    executions[5]!.end();
    await turn();
    assert.deepEqual(begun()[6], ["a2"]);
    executions[6]!.end();
    await Promise.all(all);
    await idle();
  });

  it("waits when four batches have stalled, and goes with the first that ends", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const { runAll, executions, begun, idle } = openTestBatch();
    const all: Promise<string>[] = [];
    for (const request of ["a", "b", "c", "d", "e"]) {
      all.push(...runAll(request));
      await turn();
      t.mock.timers.tick(100);
      await turn();
    }
    all.push(...runAll("f"));
    await turn();
    assert.deepEqual(begun(), [["a"], ["b"], ["c"], ["d"]]);
    executions[2]!.end();
    await turn();
    assert.deepEqual(begun()[4], ["e", "f"]);
    executions[0]!.end();
    executions[1]!.end();
    await turn();
    all.push(...runAll("g"));
    await turn();
    assert.equal(executions.length, 5, "the newest has not stalled, so that it is waited for");
    executions[4]!.end();
    await turn();
    assert.deepEqual(begun()[5], ["g"]);
    executions[3]!.end();
    executions[5]!.end();
    await Promise.all(all);
    await idle();
  });

  it("idle comes when nobody waits and nothing is under way, those that were dropped or go again included", async () => {
    const { runAll, run, executions, idle } = openTestBatch();
    await idle();
    const all = runAll("a");
    let idled = 0;
    void idle().then(() => idled++);
    await turn();
    const dropped = run("late", lateCall());
    dropped.catch(() => undefined);
    executions[0]!.end({ a: again });
    await turn();
    assert.equal(idled, 0);
    executions[1]!.end();
    await Promise.all(all);
    await turn();
    assert.equal(idled, 1);
    await assert.rejects(dropped, reason("DEADLINE_EXCEEDED"));
    const onlyLate = run("late", lateCall());
    const end = idle();
    await assert.rejects(onlyLate, reason("DEADLINE_EXCEEDED"));
    await end;
    assert.equal(executions.length, 2);
  });

  it("nobody starves: whatever comes, as often as it goes again, is executed once, in order about the same, and never two batches at once", async () => {
    const item = fc.record({ key: fc.nat(3), size: fc.integer({ min: 1, max: 12 }), agains: fc.nat(2), turn: fc.nat(6) });
    await fc.assert(
      fc.asyncProperty(fc.array(item, { minLength: 1, maxLength: 60 }), async (items) => {
        let underWay = 0;
        const done: number[] = [];
        const left = items.map(({ agains }) => agains);
        const batch = createBatch<number, number>({
          name: "test",
          itemsMax: 5,
          sizeMax: 10,
          keyOf: (nth) => String(items[nth]!.key),
          sizeOf: (nth) => items[nth]!.size,
          execute: async (taken) => {
            const nths = taken.map(({ request }) => request);
            assert.equal(++underWay, 1);
            assert.equal(new Set(nths.map((nth) => items[nth]!.key)).size, nths.length);
            const size = nths.reduce((sum, nth) => sum + items[nth]!.size, 0);
            assert.ok(nths.length <= 5 && (size <= 10 || nths.length === 1));
            await turn();
            underWay--;
            return nths.map((nth) => {
              if (left[nth]!-- > 0) return again;
              done.push(nth);
              return nth;
            });
          },
        });
        const results = await Promise.all(
          items.map(async (_, nth) => {
            for (let waited = 0; waited < items[nth]!.turn; waited++) await turn();
            return batch.run(nth, anyCall());
          }),
        );
        assert.deepEqual(results, [...items.keys()]);
        for (const key of [0, 1, 2, 3]) {
          const ofKey = done.filter((nth) => items[nth]!.key === key);
          assert.deepEqual(
            ofKey,
            ofKey.toSorted((a, b) => items[a]!.turn - items[b]!.turn || a - b),
          );
        }
        await batch.idle();
      }),
      { numRuns: 40 },
    );
  });

  it("keeps nothing of what is done: neither requests, nor results, nor keys", async () => {
    const batch = createBatch<string, string>({
      name: "test",
      keyOf: (request) => request.slice(0, 40),
      execute: async (items) => items.map(({ request }, nth) => (nth % 3 === 0 ? new Error(request) : `did ${request}`)),
    });
    let made = 0;
    const round = async () => {
      const requests = Array.from({ length: 500 }, () => `${++made}`.padEnd(40) + "x".repeat(2_000) + String(made));
      await Promise.allSettled(requests.map((request, nth) => batch.run(request, nth % 7 === 0 ? lateCall() : anyCall())));
    };
    for (let nth = 0; nth < 5; nth++) await round();
    const before = await heapUsed();
    for (let nth = 0; nth < 20; nth++) await round();
    const grown = (await heapUsed()) - before;
    assert.ok(grown < 1_000_000, `${grown} bytes more, of 20,000,000`);
  });
});
