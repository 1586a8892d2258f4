import assert from "node:assert/strict";
import { it } from "node:test";
import { refuse } from "../errors/refusal.ts";
import { killableDatabase } from "../tasks/wrapped-database.ts";
import { soldOut } from "./open-test-sagas.ts";
import type { SagasSetup } from "./open-test-sagas.ts";

/** Sagas that outlive their caller, an unavailable service, or their owner. */
export function sagaRecovery({ app, step, done, database }: SagasSetup): void {
  it("past its caller's deadline it runs on by itself, and is found done", async (t) => {
    const leave = Promise.withResolvers<void>();
    const { engine, trip, request } = app(t, (record) => [step(record, "a", () => leave.promise), step(record, "b")]);
    const one = engine();
    await one.start();
    const key = `${trip.name}/key`;
    const made = request({ key, timeoutMs: 30 });
    assert.deepEqual(await one.run(trip, made), { status: "running", id: made.id });
    assert.deepEqual(await engine().run(trip, request({ key, timeoutMs: 30 })), { status: "running", id: made.id });
    assert.deepEqual(await one.find(made.id), { status: "running", id: made.id, name: trip.name, user: "usr_1" });
    leave.resolve();
    await one.idle();
    assert.deepEqual(await one.run(trip, request({ key })), done(made.id, "start a b"));
  });

  it("one whose step stays unknown pauses, raises an alert, and is done when the service is available again", async (t) => {
    let unavailable = true;
    const { engine, trip, request, row, alarm, called } = app(t, (record) => [
      step(record, "a"),
      step(record, "b", () => {
        if (unavailable) throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
      }),
    ]);
    const one = engine({ attemptMs: 20, alarmAttempts: 3 });
    await one.start();
    const made = request({ timeoutMs: 30 });
    assert.equal((await one.run(trip, made)).status, "running");
    const { alert, saga } = await alarm;
    assert.deepEqual([alert, saga], ["SAGA_STUCK", made.id]);
    unavailable = false;
    const result = await one.run(trip, request({ id: made.id })); // the same id joins it
    assert.deepEqual(result, done(made.id, "start a b"));
    const { attempts, fence } = await row(made.id);
    assert.ok(attempts >= 3 && fence === BigInt(attempts));
    assert.equal(called().filter((what) => what === "a").length, attempts);
  });

  it("RES-06: callers of a saga that waits for an unavailable service soon get status running, and it is done when that is available again", async (t) => {
    let unavailable = true;
    const { engine, trip, request } = app(t, (record) => [
      step(record, "a", () => {
        if (unavailable) throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
      }),
    ]);
    const one = engine({ unavailableMs: 20 });
    const made = request({ key: "unavailable", timeoutMs: 60_000 });
    assert.deepEqual(await one.run(trip, made), { status: "running", id: made.id });
    unavailable = false;
    await one.idle();
    assert.deepEqual(await one.run(trip, { ...made, id: "other" }), done(made.id, "start a"));
  });

  it("RES-06: one with undoWhenUnavailable is refused while the service is unavailable, undone when it is available, and then begins anew", async (t) => {
    let unavailable = true;
    const available = () => {
      if (unavailable) throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable", retryAfterMs: 1 });
    };
    const { engine, trip, request, row, called } = app(t, (record) => [
      {
        ...step(record, "a", available),
        undoWhenUnavailable: true,
        undo: async (_, call) => {
          available();
          record("undo a", call);
        },
      },
    ]);
    const one = engine({ unavailableMs: 20 });
    const other = engine({ unavailableMs: 20 });
    await Promise.all([one.start(), other.start()]);
    const made = request({ key: "undone", subject: "s", timeoutMs: 60_000 });
    const expected = { status: "refused", id: made.id };
    for (const each of [one, other, one]) {
      const result = await each.run(trip, { ...made, id: `${made.id}${each === one ? "" : "/2"}` });
      assert.ok(result.status === "refused");
      assert.deepEqual([{ status: result.status, id: result.id }, result.refusal.code], [expected, "unavailable"]);
    }
    assert.equal((await row(made.id)).status, "UNDOING");
    unavailable = false;
    await one.idle();
    assert.equal((await row(made.id)).status, "REFUSED");
    assert.equal(called().at(-1), "undo a");
    assert.deepEqual(await other.run(trip, { ...made, id: `${made.id}/3` }), done(`${made.id}/3`, "start a"));
  });

  for (const [at, point] of ["in the first step", "in the second step", "before the last write"].entries())
    it(`CON-01: an owner killed ${point} is followed by another, which calls with the same keys; the late one writes nothing`, async (t) => {
      const entered = Promise.withResolvers<void>();
      const leave = Promise.withResolvers<void>();
      let killed = false;
      const { engine, trip, request, called, calls, row } = app(t, (record) =>
        ["a", "b", "c"].map((each, stepAt) =>
          step(record, each, async () => {
            if (stepAt !== at || killed) return;
            killed = true;
            mortal.kill();
            entered.resolve();
            await leave.promise;
          }),
        ),
      );
      const mortal = killableDatabase(database());
      const doomed = engine({ leaseMs: 60 }, mortal.database); // never started: it renews nothing
      const made = request({ key: `${trip.name}/key` });
      const late = doomed.run(trip, made);
      await entered.promise;
      const survivor = engine();
      await survivor.start();
      const result = await survivor.run(trip, request({ key: `${trip.name}/key` }));
      assert.deepEqual(result, done(made.id, "start a b c"));
      const steps = ["a", "b", "c"];
      assert.deepEqual(called(), [...steps.slice(0, at + 1), ...steps]);
      for (const [index, what] of called().entries()) assert.equal(calls()[index]?.idempotencyKey, `${made.id}/${what}`);
      const before = await row(made.id);
      assert.equal(before.fence, 2n);
      mortal.revive();
      leave.resolve();
      assert.deepEqual(await late, result);
      assert.deepEqual(await row(made.id), before);
    });

  it("CON-01: a refusal after a take-over undoes every step, because the former owner may have been further", async (t) => {
    const entered = Promise.withResolvers<void>();
    const { engine, trip, request, called } = app(t, (record) => [
      step(record, "a", () => {
        if (called().length > 2) throw refuse(soldOut);
      }),
      step(record, "b", () => {
        entered.resolve();
        return new Promise(() => undefined);
      }),
      step(record, "c"),
    ]);
    const doomed = engine({ leaseMs: 30 });
    const made = request();
    const late = doomed.run(trip, made);
    await entered.promise;
    const survivor = engine();
    await survivor.start();
    await survivor.idle();
    assert.deepEqual(called(), ["a", "b", "a", "undo c", "undo b", "undo a"]);
    assert.equal((await survivor.find(made.id))?.status, "refused");
    await doomed.stop();
    assert.equal((await late).status, "refused");
  });

  it("renews its lease while it runs, so that no other owner takes it over", async (t) => {
    const leave = Promise.withResolvers<void>();
    const { engine, trip, request, row, called } = app(t, (record) => [step(record, "a", () => leave.promise)]);
    const options = { leaseMs: 150, recoverEveryMs: 10 };
    const one = engine(options);
    const other = engine(options);
    await Promise.all([one.start(), other.start()]);
    const made = request({ timeoutMs: 500 });
    const result = await one.run(trip, made); // its deadline is three leases unavailable
    assert.equal(result.status, "running");
    assert.equal((await row(made.id)).fence, 1n);
    leave.resolve();
    await one.idle();
    assert.deepEqual(called(), ["a"]);
  });

  it("stops waiting for a step that ignores its deadline, and retries", async (t) => {
    const { engine, trip, request, called } = app(t, (record) => [
      step(record, "a", () => (called().length === 1 ? new Promise(() => undefined) : undefined)),
    ]);
    const one = engine({ stepMs: 10, leaseMs: 120, stepGraceMs: 10 });
    await one.start();
    const made = request();
    assert.deepEqual(await one.run(trip, made), done(made.id, "start a"));
    assert.deepEqual(called(), ["a", "a"]);
  });

  it("stops: begins no more, waits for those under way, and leaves the rest to other processes at once", async (t) => {
    const entered = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const leave = Promise.withResolvers<void>();
    let hanging = true;
    const { engine, trip, request, row } = app(t, (record) => [
      step(record, "a", async (call) => {
        const at = call.idempotencyKey?.includes("slow") ? 0 : 1;
        entered[at]!.resolve();
        if (at === 0) await leave.promise;
        else if (hanging) await new Promise(() => undefined);
      }),
    ]);
    const one = engine({ leaseMs: 60_000, stopMs: 50 });
    const slow = one.run(trip, request({ id: `${trip.name}_slow` }));
    const stuck = one.run(trip, request({ id: `${trip.name}_stuck` }));
    await Promise.all(entered.map(({ promise }) => promise));
    const stopped = one.stop();
    await assert.rejects(one.run(trip, request()), { reason: "OVERLOADED" });
    leave.resolve();
    await Promise.all([stopped, one.stop()]);
    assert.equal((await slow).status, "done");
    assert.deepEqual(await row(`${trip.name}_stuck`), { status: "RUNNING", fence: 1n, owner: null, attempts: 1, released_at: null });
    hanging = false;
    const two = engine();
    await two.start();
    await two.idle();
    assert.equal((await two.find(`${trip.name}_stuck`))?.status, "done");
    assert.equal((await stuck).status, "done");
  });
}
