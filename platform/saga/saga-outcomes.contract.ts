import assert from "node:assert/strict";
import { it } from "node:test";
import { refuse } from "../errors/refusal.ts";
import { rootCall } from "../call/call.ts";
import type { Call } from "../call/call.ts";
import { countingDatabase } from "../tasks/wrapped-database.ts";
import { factsOf, soldOut, user } from "./open-test-sagas.ts";
import type { SagasSetup } from "./open-test-sagas.ts";

/** How sagas end: done as a whole, or refused and undone. */
export function sagaOutcomes({ app, step, done, database }: SagasSetup): void {
  it("calls the steps in order, for the user who began it, and stores the reply", async (t) => {
    const { engine, trip, request, called, calls, row } = app(t, (record) => [step(record, "a"), step(record, "b")]);
    const one = engine();
    const made = request();
    assert.deepEqual(await one.run(trip, made), done(made.id, "start a b"));
    assert.deepEqual(called(), ["a", "b"]);
    const [first] = calls() as [Call];
    assert.deepEqual(
      calls().map((call) => call.idempotencyKey),
      [`${made.id}/a`, `${made.id}/b`],
    );
    assert.deepEqual(
      [first.caller, first.user, first.correlation, first.causation, first.trace],
      ["checkout", user, "cor_1", made.id, made.call.trace],
    );
    assert.deepEqual(await one.find(made.id), { ...done(made.id, "start a b"), name: trip.name, user: "usr_1" });
    assert.deepEqual(await row(made.id), { status: "DONE", fence: 1n, owner: null, attempts: 1, released_at: null });
    assert.equal(await one.find("nothing"), undefined);
  });

  it("wakes who watches a saga when it has ended: at once where it runs, and by polling in another process", async (t) => {
    const gate = Promise.withResolvers<void>();
    const { engine, trip, request } = app(t, (record) => [step(record, "a", () => gate.promise)]);
    const [here, there] = [engine(), engine()];
    const made = request();
    const result = here.run(trip, made);
    for (const one of [here, there]) {
      const watch = one.watch(made.id);
      watch.version = 0;
      gate.resolve();
      while ((await one.find(made.id))?.status !== "done") await watch.waker.wait(60_000);
      watch.close();
    }
    assert.equal((await result).status, "done");
    const late = there.watch(made.id);
    late.version = 0;
    await late.waker.wait(60_000);
    late.close();
  });

  it("writes twice when it succeeds", async (t) => {
    const { engine, trip, request } = app(t, (record) => ["a", "b", "c", "d"].map((each) => step(record, each)));
    const counted = countingDatabase(database());
    const one = engine({}, counted.database);
    for (let run = 1; run <= 3; run++) {
      await one.run(trip, request({ key: `${trip.name}/two writes/${run}`, subject: `cart ${run}` }));
      assert.equal(counted.statements(), 2 * run);
    }
  });

  for (const failing of [0, 1, 2, 3])
    it(`CON-01: when step ${failing + 1} of 4 is refused, the compensations of those before run once, in reverse`, async (t) => {
      const steps = ["a", "b", "c", "d"];
      const { engine, trip, request, called, calls, row } = app(t, (record) =>
        steps.map((each, at) =>
          step(record, each, () => {
            if (at === failing) throw refuse(soldOut);
          }),
        ),
      );
      const one = engine();
      const made = request({ key: `${trip.name}/key` });
      const result = await one.run(trip, made);
      assert.equal(result.status, "refused");
      assert.deepEqual(factsOf(result.status === "refused" && result.refusal), soldOut);
      const before = steps.slice(0, failing);
      assert.deepEqual(called(), [...before, steps[failing], ...before.toReversed().map((each) => `undo ${each}`)]);
      for (const [at, what] of called().entries()) assert.equal(calls()[at]?.idempotencyKey, `${made.id}/${what.replace("undo ", "")}`);
      assert.equal((await row(made.id)).status, "REFUSED");
      const repeat = await one.run(trip, { ...request({ key: `${trip.name}/key` }) });
      assert.deepEqual([repeat.id, factsOf(repeat.status === "refused" && repeat.refusal)], [made.id, soldOut]);
      assert.equal(called().length, 2 * failing + 1);
    });

  it("writes a refusal once when there is nothing to undo; steps without undo are not undone", async (t) => {
    const { engine, trip, request, called } = app(t, (record) => {
      const { undo: _, ...look } = step(record, "look");
      return [look, step(record, "b", () => Promise.reject(refuse(soldOut)))];
    });
    const counted = countingDatabase(database());
    assert.equal((await engine({}, counted.database).run(trip, request())).status, "refused");
    assert.deepEqual(called(), ["look", "b"]);
    assert.equal(counted.statements(), 2);
  });

  it("retries with the same key when the outcome is unknown, and undoes that step too when it is refused then", async (t) => {
    const trouble = [
      refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" }),
      refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded" }),
    ];
    const { engine, trip, request, called, calls } = app(t, (record) => [
      step(record, "a", () => {
        const next = trouble.shift();
        if (next !== undefined) throw next;
      }),
      step(record, "b", () => {
        if (called().filter((what) => what === "b").length === 1) throw new TypeError("a fault");
        throw refuse(soldOut);
      }),
      step(record, "c"),
    ]);
    const result = await engine().run(trip, request());
    assert.equal(result.status, "refused");
    assert.deepEqual(called(), ["a", "a", "a", "b", "b", "undo b", "undo a"]);
    assert.equal(
      new Set(
        calls()
          .slice(0, 3)
          .map((call) => call.idempotencyKey),
      ).size,
      1,
    );
  });

  it("an undo is retried until it succeeds, and only then the saga is refused", async (t) => {
    let failures = 4;
    const { engine, trip, request, called } = app(t, (record) => [
      {
        ...step(record, "a"),
        undo: async (_, call) => {
          record("undo a", call);
          if (failures-- > 0) throw failures % 2 === 0 ? refuse(soldOut) : new Error("a fault");
        },
      },
      step(record, "b", () => Promise.reject(refuse(soldOut))),
    ]);
    const one = engine();
    const result = await one.run(trip, request());
    assert.deepEqual(called(), ["a", "b", ...Array.from({ length: 5 }, () => "undo a")]);
    assert.equal(result.status, "refused");
  });

  it("an undo that does not succeed in an attempt is retried in the next", async (t) => {
    let unavailable = true;
    const left = Promise.withResolvers<void>();
    const { engine, trip, request, row } = app(t, (record) => [
      {
        ...step(record, "a"),
        undo: async (_, call) => {
          record("undo a", call);
          if (unavailable) throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
        },
      },
      step(record, "b", () => Promise.reject(refuse(soldOut))),
    ]);
    const made = request({ timeoutMs: 100 });
    const one = engine({ attemptMs: 10 });
    void one.run(trip, made).then((result) => (assert.equal(result.status, "running"), left.resolve()));
    await left.promise;
    assert.equal((await row(made.id)).status, "UNDOING");
    unavailable = false;
    await one.start();
    const result = await one.run(trip, { ...made, call: rootCall({ caller: "gateway", timeoutMs: 5_000 }) });
    assert.deepEqual(factsOf(result.status === "refused" && result.refusal), soldOut);
  });
}
