import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { afterTurn } from "../clock/turn.ts";
import { forbidInTransaction, insideTransaction } from "../database/in-transaction.ts";
import { refusalIn, refuse } from "../errors/refusal.ts";
import { again, createBatch, decideEach } from "./batch.ts";
import { createLookup } from "./lookup.ts";
import { anyCall, lateCall, openTestBatch, turn } from "./test-batch.ts";

const reason = (expected: string) => (error: unknown) => refusalIn(error)?.reason === expected;
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, at) => String(from + at));

describe("batches: what is executed together", () => {
  it("is what arrives in one turn; what comes meanwhile waits and is the next, in the order of arrival", async () => {
    const { runAll, executions, begun } = openTestBatch();
    const first = runAll("a", "b");
    await Promise.resolve();
    first.push(...runAll("c"));
    await turn();
    const second = [...runAll("d"), ...runAll("e")];
    await turn();
    second.push(...runAll("f"));
    assert.deepEqual(begun(), [["a", "b", "c"]], "one is under way");
    executions[0]!.end();
    assert.deepEqual(await Promise.all(first), ["did a", "did b", "did c"]);
    await turn();
    assert.deepEqual(begun()[1], ["d", "e", "f"]);
    executions[1]!.end();
    assert.deepEqual(await Promise.all(second), ["did d", "did e", "did f"]);
    await turn();
    assert.equal(executions.length, 2);
  });

  it("is no more than itemsMax, and no larger than sizeMax but for a request that is larger by itself; none takes the place of another", async () => {
    const { runAll, executions, begun } = openTestBatch({ itemsMax: 3, sizeMax: 10, sizeOf: (request) => request.length });
    const all = runAll("1", "2", "3", "4", "55555", "66666", "7", "8888888888888", "9");
    for (let nth = 0; nth < 5; nth++) {
      await turn();
      executions[nth]!.end();
    }
    await Promise.all(all);
    assert.deepEqual(begun(), [["1", "2", "3"], ["4", "55555"], ["66666", "7"], ["8888888888888"], ["9"]]);
  });

  it("is never two requests about the same, which are executed one after the other, as they came", async () => {
    const { runAll, executions, begun } = openTestBatch({ keyOf: (request) => request[0]! });
    const all = runAll("a1", "a2", "b1", "a3", "b2", "c1");
    await turn();
    const late = runAll("a4", "d1");
    const expected = [["a1", "b1", "c1"], ["a2", "b2", "d1"], ["a3"], ["a4"]];
    for (let nth = 0; nth < expected.length; nth++) {
      assert.deepEqual(begun(), expected.slice(0, nth + 1));
      executions[nth]!.end();
      await turn();
    }
    assert.deepEqual(await Promise.all([...all, ...late].map(async (done) => (await done).slice(4))), [
      "a1",
      "a2",
      "b1",
      "a3",
      "b2",
      "c1",
      "a4",
      "d1",
    ]);
  });

  it("begins outside of whatever transaction the turn ends in, and refuses one who has a transaction open", async () => {
    const batch = createBatch<string, string>({
      name: "orders.create",
      execute: async (items) => {
        forbidInTransaction("executing");
        await turn();
        forbidInTransaction("executing still");
        return items.map(({ request }) => request);
      },
    });
    // What is first sent in a turn decides whose context its end has.
    await insideTransaction("test", async () => afterTurn(() => undefined));
    assert.equal(await batch.run("a", anyCall()), "a");
    await assert.rejects(
      insideTransaction("test", () => batch.run("b", anyCall())),
      /^Error: orders\.create while a transaction of test is open/,
    );
    await batch.idle();
  });

  it("lookups: one statement for all, an id once; undefined for what is not there", async () => {
    const asked: (readonly string[])[] = [];
    const lookup = createLookup("test", async (ids) => {
      asked.push(ids);
      return new Map(ids.filter((id) => id !== "none").map((id) => [id, `found ${id}`]));
    });
    const found = await Promise.all(["a", "b", "a", "none"].map((id) => lookup.find(id, anyCall())));
    assert.deepEqual([found, asked], [["found a", "found b", "found a", undefined], [["a", "b", "none"]]]);
  });
});

describe("batches: outcomes", () => {
  it("an item's error is its caller's alone; by decideEach what a rule throws, whatever that is", async () => {
    const { runAll, executions } = openTestBatch();
    const [a, b, c] = runAll("a", "b", "c");
    await turn();
    const rule = (request: string) => {
      if (request === "b") throw refuse({ reason: "NOT_FOUND", code: "not_found" });
      if (request === "c") throw "text"; // oxlint-disable-line typescript/only-throw-error -- as a library might
      return `decided ${request}`;
    };
    executions[0]!.give(decideEach(executions[0]!.requests, rule));
    assert.equal(await a, "decided a");
    await assert.rejects(b!, reason("NOT_FOUND"));
    await assert.rejects(c!, (error: Error) => error.cause === "text");
  });

  it("`again` goes into the next batch, before all that wait and in their order, until the call is over", async () => {
    const { runAll, run, executions, begun } = openTestBatch({ keyOf: (request) => request[0]! });
    const all = runAll("a1", "b1", "c1");
    const cancelled = new AbortController();
    const tired = run("d1", anyCall().with({ signal: cancelled.signal }));
    await turn();
    const behind = runAll("a2", "e1");
    executions[0]!.end({ a1: again, c1: again, d1: again });
    await turn();
    assert.deepEqual(begun()[1], ["a1", "c1", "d1", "e1"]);
    cancelled.abort();
    executions[1]!.end({ a1: again, d1: again });
    await assert.rejects(tired, reason("DEADLINE_EXCEEDED"));
    await turn();
    assert.deepEqual(begun()[2], ["a1"]);
    executions[2]!.end();
    await turn();
    executions[3]!.end();
    await Promise.all([...all, ...behind]);
    assert.deepEqual(begun()[3], ["a2"]);
  });

  it("a fault reaches nobody but those whose items cause it, whichever they are: the others' are executed successfully, once", async () => {
    const load = fc.record({ count: fc.integer({ min: 1, max: 40 }), bad: fc.uniqueArray(fc.nat(39)), late: fc.uniqueArray(fc.nat(39)) });
    await fc.assert(
      fc.asyncProperty(load, async ({ count, bad, late }) => {
        const executed: string[] = [];
        const batch = createBatch<string, string>({
          name: "test",
          execute: async (items) => {
            await Promise.resolve();
            const requests = items.map(({ request }) => request);
            const culprit = requests.find((request) => bad.includes(Number(request)));
            if (culprit !== undefined) throw new Error(`fault of ${requests.filter((one) => bad.includes(Number(one))).join()}`);
            executed.push(...requests);
            return requests.map((request) => `did ${request}`);
          },
        });
        const results = await Promise.allSettled(
          numbers(count).map((request) => batch.run(request, late.includes(Number(request)) ? lateCall() : anyCall())),
        );
        const expected = numbers(count).map((request) => {
          if (late.includes(Number(request))) return "DEADLINE_EXCEEDED";
          return bad.includes(Number(request)) ? `fault of ${request}` : `did ${request}`;
        });
        assert.deepEqual(
          results.map((result) => (result.status === "fulfilled" ? result.value : (result.reason as Error).message)),
          expected,
        );
        assert.deepEqual(
          executed,
          expected.filter((text) => text.startsWith("did")).map((text) => text.slice(4)),
        );
        await batch.idle();
      }),
    );
  });

  it("an unknown outcome rejects all, wrapped or not, and nothing is executed again", async () => {
    for (const code of ["unavailable", "deadline_exceeded"] as const) {
      const { runAll, executions, idle } = openTestBatch();
      const all = runAll("a", "b", "c");
      await turn();
      executions[0]!.fail(new Error("wrapped", { cause: refuse({ reason: "LOST", code }) }));
      for (const one of all) await assert.rejects(one, reason("LOST"));
      await idle();
      await turn();
      assert.equal(executions.length, 1);
    }
  });

  it("a deadlock has undone all: each half is tried by itself, although callers see it as unavailable", async () => {
    const { runAll, executions, begun } = openTestBatch();
    const all = runAll("a", "b", "c");
    await turn();
    const deadlock = Object.assign(new Error("deadlock detected"), { code: "40P01" });
    executions[0]!.fail(refuse({ reason: "LOST", code: "unavailable", cause: deadlock }));
    for (const nth of [1, 2]) {
      await turn();
      executions[nth]!.end();
    }
    assert.deepEqual(await Promise.all(all), ["did a", "did b", "did c"]);
    assert.deepEqual(begun(), [["a", "b", "c"], ["a"], ["b", "c"]]);
  });

  it("when one half's outcome is unknown, the other half is executed all the same", async () => {
    const { runAll, executions, begun } = openTestBatch();
    const [a, b, c, d] = runAll("a", "b", "c", "d");
    await turn();
    executions[0]!.fail(new Error("fault"));
    await turn();
    executions[1]!.fail(refuse({ reason: "LOST", code: "unavailable" }));
    await turn();
    executions[2]!.end();
    await assert.rejects(a!, reason("LOST"));
    await assert.rejects(b!, reason("LOST"));
    assert.deepEqual(
      [await c, await d, begun()],
      [
        "did c",
        "did d",
        [
          ["a", "b", "c", "d"],
          ["a", "b"],
          ["c", "d"],
        ],
      ],
    );
  });

  it("too few outcomes, too many or none at all are a fault", async () => {
    for (const [outcomes, message] of [
      [[], /^Error: test gave 0 outcomes for 1 requests$/],
      [["one", "two", "three"], /^Error: test gave 3 outcomes for 1 requests$/],
      [undefined, /^TypeError: /],
    ] as const) {
      const { runAll, executions } = openTestBatch();
      const all = runAll("a", "b");
      for (let nth = 0; nth < 3; nth++) {
        await turn();
        executions[nth]!.give(outcomes as readonly string[]);
      }
      for (const one of all) await assert.rejects(one, message);
    }
  });
});
