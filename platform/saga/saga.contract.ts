import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { TestContext } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { ManualClock } from "../clock/clock.ts";
import type { Database } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import { Refusal, refuse } from "../errors/refusal.ts";
import type { RefusalInit } from "../errors/refusal.ts";
import { rootCall } from "../call/call.ts";
import type { Call } from "../call/call.ts";
import { countingDatabase, killableDatabase } from "../tasks/wrapped-database.ts";
import type { LogFields, Logger } from "../telemetry/logger.ts";
import type { SagaDefinition, SagaStep } from "./saga.ts";
import type { SagasEngine, SagasInit } from "./embedded.ts";

/** What the suite needs: a migrated database of its own, and engines on it, each as a process has one. */
export interface SagasHarness {
  readonly database: Database;
  engine(init: Pick<SagasInit, "service" | "definitions" | "clock" | "log" | "database" | "options">): SagasEngine;
  close(): Promise<void>;
}

type Text = typeof StringValueSchema;
type Trip = SagaDefinition<Text, Text, readonly string[]>;

const user = { id: "usr_1", session: "ses_1", roles: [], verified: true };
const soldOut: RefusalInit = {
  reason: "OUT_OF_STOCK",
  code: "failed_precondition",
  message: "Fewer are left",
  details: { free: 2 },
  fields: [{ field: "lines[0].quantity", reason: "TOO_MANY", message: "at most 2" }],
};

/** The suite that every engine of sagas passes. */
export function sagasContract(name: string, open: () => Promise<SagasHarness>): void {
  describe(`sagas: ${name}`, () => {
    let harness: SagasHarness;
    let sagas = 0;

    before(async () => {
      harness = await open();
    });
    after(() => harness.close());

    /** A saga of the test's own over `steps`, with the processes that run it. `asked` is what the steps' other sides have heard. */
    const app = (t: TestContext, steps: (ask: (what: string, call: Call) => void) => readonly SagaStep<readonly string[]>[]) => {
      const asked: { what: string; call: Call }[] = [];
      const clock = new ManualClock(new Date("2026-03-01T12:00:00.000Z"));
      const alarm = Promise.withResolvers<LogFields>();
      const trip: Trip = {
        name: `trip${++sagas}`,
        input: StringValueSchema,
        output: StringValueSchema,
        begin: (input) => [input.value],
        steps: steps((what, call) => void asked.push({ what, call })),
        reply: (state) => ({ value: state.join(" ") }),
      };
      const engine = (options: SagasInit["options"] = {}, database: Database = harness.database) => {
        const quick = { retryMs: 2, retryMsMax: 20, pauseMs: 10, pauseMsMax: 20, recoverEveryMs: 20, stopMs: 200, ...options };
        const made = harness.engine({
          service: "checkout",
          definitions: [trip],
          clock,
          log: alarmLog(alarm.resolve),
          database,
          options: quick,
        });
        t.after(() => made.stop());
        return made;
      };
      let runs = 0;
      const request = (change: { id?: string; key?: string; subject?: string; fingerprint?: string; timeoutMs?: number } = {}) => ({
        id: `${trip.name}_${++runs}`,
        fingerprint: "f",
        input: { value: "start" },
        call: rootCall({ caller: "gateway", user, timeoutMs: change.timeoutMs ?? 5_000, correlation: "cor_1" }),
        ...change,
      });
      const row = (id: string) =>
        harness.database.one<{ status: string; fence: bigint; owner: string | null; attempts: number; released_at: Date | null }>(
          sql`select status, fence, owner, attempts, released_at from sagas where id = ${id}`,
        );
      return {
        trip,
        engine,
        request,
        row,
        clock,
        alarm: alarm.promise,
        asked: () => asked.map(({ what }) => what),
        calls: () => asked.map(({ call }) => call),
      };
    };

    /** A step that says what it is asked; `result` may throw. */
    const step = (ask: (what: string, call: Call) => void, stepName: string, result: (call: Call) => unknown = () => undefined) => ({
      name: stepName,
      do: async (state: readonly string[], call: Call) => {
        ask(stepName, call);
        await result(call);
        return [...state, stepName];
      },
      undo: async (_: readonly string[], call: Call) => ask(`undo ${stepName}`, call),
    });
    const done = (id: string, value: string) => ({ status: "done", id, reply: create(StringValueSchema, { value }) });

    it("asks the steps in order, as the one who asked, and keeps the answer", async (t) => {
      const { engine, trip, request, asked, calls, row } = app(t, (ask) => [step(ask, "a"), step(ask, "b")]);
      const one = engine();
      const made = request();
      assert.deepEqual(await one.run(trip, made), done(made.id, "start a b"));
      assert.deepEqual(asked(), ["a", "b"]);
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

    it("writes twice when all goes well", async (t) => {
      const { engine, trip, request } = app(t, (ask) => ["a", "b", "c", "d"].map((each) => step(ask, each)));
      const counted = countingDatabase(harness.database);
      const one = engine({}, counted.database);
      for (let run = 1; run <= 3; run++) {
        await one.run(trip, request({ key: `${trip.name}/two writes/${run}`, subject: `cart ${run}` }));
        assert.equal(counted.statements(), 2 * run);
      }
    });

    for (const failing of [0, 1, 2, 3])
      it(`CON-01: when step ${failing + 1} of 4 is refused, the compensations of those before run once, in reverse`, async (t) => {
        const steps = ["a", "b", "c", "d"];
        const { engine, trip, request, asked, calls, row } = app(t, (ask) =>
          steps.map((each, at) =>
            step(ask, each, () => {
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
        assert.deepEqual(asked(), [...before, steps[failing], ...before.toReversed().map((each) => `undo ${each}`)]);
        for (const [at, what] of asked().entries()) assert.equal(calls()[at]?.idempotencyKey, `${made.id}/${what.replace("undo ", "")}`);
        assert.equal((await row(made.id)).status, "REFUSED");
        const repeat = await one.run(trip, { ...request({ key: `${trip.name}/key` }) });
        assert.deepEqual([repeat.id, factsOf(repeat.status === "refused" && repeat.refusal)], [made.id, soldOut]);
        assert.equal(asked().length, 2 * failing + 1);
      });

    it("writes a refusal once when there is nothing to take back, and steps without undo are left alone", async (t) => {
      const { engine, trip, request, asked } = app(t, (ask) => {
        const { undo: _, ...look } = step(ask, "look");
        return [look, step(ask, "b", () => Promise.reject(refuse(soldOut)))];
      });
      const counted = countingDatabase(harness.database);
      assert.equal((await engine({}, counted.database).run(trip, request())).status, "refused");
      assert.deepEqual(asked(), ["look", "b"]);
      assert.equal(counted.statements(), 2);
    });

    it("a key whose refusal is not kept is free again", async (t) => {
      let found = false;
      const { engine, trip, request } = app(t, (ask) => [
        step(ask, "a", () => {
          if (!found) throw refuse({ reason: "NOT_FOUND", code: "not_found" });
        }),
      ]);
      const one = engine();
      const key = `${trip.name}/key`;
      assert.equal((await one.run(trip, request({ key }))).status, "refused");
      found = true;
      assert.equal((await one.run(trip, request({ key }))).status, "done");
    });

    it("asks again with the same key when the outcome is unknown, and takes that step back too when it is refused then", async (t) => {
      const trouble = [
        refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" }),
        refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded" }),
      ];
      const { engine, trip, request, asked, calls } = app(t, (ask) => [
        step(ask, "a", () => {
          const next = trouble.shift();
          if (next !== undefined) throw next;
        }),
        step(ask, "b", () => {
          if (asked().filter((what) => what === "b").length === 1) throw new TypeError("a fault");
          throw refuse(soldOut);
        }),
        step(ask, "c"),
      ]);
      const result = await engine().run(trip, request());
      assert.equal(result.status, "refused");
      assert.deepEqual(asked(), ["a", "a", "a", "b", "b", "undo b", "undo a"]);
      assert.equal(
        new Set(
          calls()
            .slice(0, 3)
            .map((call) => call.idempotencyKey),
        ).size,
        1,
      );
    });

    it("fifty at once with one key are one saga, and get fifty equal answers", async (t) => {
      const { engine, trip, request, asked } = app(t, (ask) => [step(ask, "a", () => new Promise(setImmediate)), step(ask, "b")]);
      const engines = [engine(), engine()];
      const key = `${trip.name}/key`;
      const results = await Promise.all(Array.from({ length: 50 }, (_, at) => engines[at % 2]!.run(trip, request({ key }))));
      assert.deepEqual(asked(), ["a", "b"]);
      const bytes = results.map((result) =>
        result.status === "done" ? Buffer.from(toBinary(StringValueSchema, result.reply)).toString("hex") : result.status,
      );
      assert.equal(new Set(bytes).size, 1);
      assert.equal(new Set(results.map((result) => result.id)).size, 1);
      const later = await engine().run(trip, request({ key }));
      assert.deepEqual(later, results[0]);
    });

    it("refuses a key that comes with another request", async (t) => {
      const { engine, trip, request, asked } = app(t, (ask) => [step(ask, "a")]);
      const one = engine();
      const key = `${trip.name}/key`;
      await one.run(trip, request({ key }));
      await assert.rejects(one.run(trip, request({ key, fingerprint: "other" })), { reason: "IDEMPOTENCY_KEY_REUSED" });
      assert.deepEqual(asked(), ["a"]);
    });

    it("joins the saga of a key without beginning one", async (t) => {
      const { engine, trip, request } = app(t, (ask) => [step(ask, "a")]);
      const one = engine();
      const { call, fingerprint } = request();
      const key = `${trip.name}/key`;
      assert.equal(await one.join(trip, { key, fingerprint, call }), undefined);
      const first = await one.run(trip, request({ key }));
      assert.deepEqual(await one.join(trip, { key, fingerprint, call }), first);
      await assert.rejects(one.join(trip, { key, fingerprint: "other", call }), { reason: "IDEMPOTENCY_KEY_REUSED" });
    });

    it("one subject has one live saga, whatever the key, until it is released or refused", async (t) => {
      let refused = false;
      const { engine, trip, request, asked, clock, row } = app(t, (ask) => [
        step(ask, "a", () => {
          if (refused) throw refuse(soldOut);
        }),
      ]);
      const one = engine();
      const subject = "cart 1";
      const order = (key: string) => one.run(trip, request({ subject, key: `${trip.name}/${key}`, fingerprint: key }));
      const results = await Promise.all([order("1"), order("2"), one.run(trip, request({ subject, fingerprint: "no key" }))]);
      assert.equal(new Set(results.map((result) => result.id)).size, 1);
      assert.deepEqual(asked(), ["a"]);
      assert.deepEqual(await order("3"), results[0]);
      await harness.database.transaction((tx) => one.release(tx, trip.name, subject));
      assert.deepEqual((await row(results[0].id)).released_at, clock.now());
      refused = true;
      const second = await order("4");
      assert.equal(second.status, "refused");
      refused = false;
      const third = await order("5");
      assert.equal(third.status, "done");
      assert.equal(new Set([results[0].id, second.id, third.id]).size, 3);
      assert.equal((await one.run(trip, request({ subject: "cart 2" }))).id !== third.id, true);
    });

    it("past its caller's deadline it runs on by itself, and is found done", async (t) => {
      const leave = Promise.withResolvers<void>();
      const { engine, trip, request } = app(t, (ask) => [step(ask, "a", () => leave.promise), step(ask, "b")]);
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

    it("one whose step stays unknown is left for a pause, raises an alarm, and is done when the other side is back", async (t) => {
      let away = true;
      const { engine, trip, request, row, alarm, asked } = app(t, (ask) => [
        step(ask, "a"),
        step(ask, "b", () => {
          if (away) throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
        }),
      ]);
      const one = engine({ attemptMs: 20, alarmAttempts: 3 });
      await one.start();
      const made = request({ timeoutMs: 30 });
      assert.equal((await one.run(trip, made)).status, "running");
      const { alert, saga } = await alarm;
      assert.deepEqual([alert, saga], ["SAGA_STUCK", made.id]);
      away = false;
      const result = await one.run(trip, request({ id: made.id })); // the same id joins it
      assert.deepEqual(result, done(made.id, "start a b"));
      const { attempts, fence } = await row(made.id);
      assert.ok(attempts >= 3 && fence === BigInt(attempts));
      assert.equal(asked().filter((what) => what === "a").length, attempts);
    });

    it("RES-06: who waits for a step whose other side is away is told soon that it runs, and it is done when that is back", async (t) => {
      let away = true;
      const { engine, trip, request } = app(t, (ask) => [
        step(ask, "a", () => {
          if (away) throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
        }),
      ]);
      const one = engine({ unavailableMs: 20 });
      const made = request({ key: "away", timeoutMs: 60_000 });
      assert.deepEqual(await one.run(trip, made), { status: "running", id: made.id });
      away = false;
      await one.idle();
      assert.deepEqual(await one.run(trip, { ...made, id: "other" }), done(made.id, "start a"));
    });

    it("RES-06: one that gives up is refused while the other side is away, taken back when it is there, and then begins anew", async (t) => {
      let away = true;
      const gone = () => {
        if (away) throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable", retryAfterMs: 1 });
      };
      const { engine, trip, request, row, asked } = app(t, (ask) => [
        {
          ...step(ask, "a", gone),
          undoWhenUnavailable: true,
          undo: async (_, call) => {
            gone();
            ask("undo a", call);
          },
        },
      ]);
      const one = engine({ unavailableMs: 20 });
      const other = engine({ unavailableMs: 20 });
      await Promise.all([one.start(), other.start()]);
      const made = request({ key: "gives up", subject: "s", timeoutMs: 60_000 });
      const unavailable = { status: "refused", id: made.id };
      for (const each of [one, other, one]) {
        const told = await each.run(trip, { ...made, id: `${made.id}${each === one ? "" : "/2"}` });
        assert.ok(told.status === "refused");
        assert.deepEqual([{ status: told.status, id: told.id }, told.refusal.code], [unavailable, "unavailable"]);
      }
      assert.equal((await row(made.id)).status, "UNDOING");
      away = false;
      await one.idle();
      assert.equal((await row(made.id)).status, "REFUSED");
      assert.equal(asked().at(-1), "undo a");
      assert.deepEqual(await other.run(trip, { ...made, id: `${made.id}/3` }), done(`${made.id}/3`, "start a"));
    });

    it("an undo is asked until it succeeds, and only then the saga is refused", async (t) => {
      let failures = 4;
      const { engine, trip, request, asked } = app(t, (ask) => [
        {
          ...step(ask, "a"),
          undo: async (_, call) => {
            ask("undo a", call);
            if (failures-- > 0) throw failures % 2 === 0 ? refuse(soldOut) : new Error("a fault");
          },
        },
        step(ask, "b", () => Promise.reject(refuse(soldOut))),
      ]);
      const one = engine();
      const result = await one.run(trip, request());
      assert.deepEqual(asked(), ["a", "b", ...Array.from({ length: 5 }, () => "undo a")]);
      assert.equal(result.status, "refused");
    });

    it("an undo that does not succeed in an attempt goes on in the next", async (t) => {
      let away = true;
      const left = Promise.withResolvers<void>();
      const { engine, trip, request, row } = app(t, (ask) => [
        {
          ...step(ask, "a"),
          undo: async (_, call) => {
            ask("undo a", call);
            if (away) throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
          },
        },
        step(ask, "b", () => Promise.reject(refuse(soldOut))),
      ]);
      const made = request({ timeoutMs: 100 });
      const one = engine({ attemptMs: 10 });
      void one.run(trip, made).then((result) => (assert.equal(result.status, "running"), left.resolve()));
      await left.promise;
      assert.equal((await row(made.id)).status, "UNDOING");
      away = false;
      await one.start();
      const result = await one.run(trip, { ...made, call: rootCall({ caller: "gateway", timeoutMs: 5_000 }) });
      assert.deepEqual(factsOf(result.status === "refused" && result.refusal), soldOut);
    });

    for (const [at, point] of ["in the first step", "in the second step", "before the last write"].entries())
      it(`CON-01: an owner killed ${point} is followed by another, who asks with the same keys; the late one writes nothing`, async (t) => {
        const entered = Promise.withResolvers<void>();
        const leave = Promise.withResolvers<void>();
        let killed = false;
        const { engine, trip, request, asked, calls, row } = app(t, (ask) =>
          ["a", "b", "c"].map((each, stepAt) =>
            step(ask, each, async () => {
              if (stepAt !== at || killed) return;
              killed = true;
              mortal.kill();
              entered.resolve();
              await leave.promise;
            }),
          ),
        );
        const mortal = killableDatabase(harness.database);
        const doomed = engine({ leaseMs: 60 }, mortal.database); // never started: it renews nothing
        const made = request({ key: `${trip.name}/key` });
        const late = doomed.run(trip, made);
        await entered.promise;
        const survivor = engine();
        await survivor.start();
        const result = await survivor.run(trip, request({ key: `${trip.name}/key` }));
        assert.deepEqual(result, done(made.id, "start a b c"));
        const steps = ["a", "b", "c"];
        assert.deepEqual(asked(), [...steps.slice(0, at + 1), ...steps]);
        for (const [index, what] of asked().entries()) assert.equal(calls()[index]?.idempotencyKey, `${made.id}/${what}`);
        const before = await row(made.id);
        assert.equal(before.fence, 2n);
        mortal.revive();
        leave.resolve();
        assert.deepEqual(await late, result);
        assert.deepEqual(await row(made.id), before);
      });

    it("CON-01: a refusal met after a take-over takes back every step, since the one before may have been further", async (t) => {
      const entered = Promise.withResolvers<void>();
      const { engine, trip, request, asked } = app(t, (ask) => [
        step(ask, "a", () => {
          if (asked().length > 2) throw refuse(soldOut);
        }),
        step(ask, "b", () => {
          entered.resolve();
          return new Promise(() => undefined);
        }),
        step(ask, "c"),
      ]);
      const doomed = engine({ leaseMs: 30 });
      const made = request();
      const late = doomed.run(trip, made);
      await entered.promise;
      const survivor = engine();
      await survivor.start();
      await survivor.idle();
      assert.deepEqual(asked(), ["a", "b", "a", "undo c", "undo b", "undo a"]);
      assert.equal((await survivor.find(made.id))?.status, "refused");
      await doomed.stop();
      assert.equal((await late).status, "refused");
    });

    it("keeps its lease while it runs, so that nobody else takes it", async (t) => {
      const leave = Promise.withResolvers<void>();
      const { engine, trip, request, row, asked } = app(t, (ask) => [step(ask, "a", () => leave.promise)]);
      const options = { leaseMs: 150, recoverEveryMs: 10 };
      const one = engine(options);
      const other = engine(options);
      await Promise.all([one.start(), other.start()]);
      const made = request({ timeoutMs: 500 });
      const result = await one.run(trip, made); // its deadline is three leases away
      assert.equal(result.status, "running");
      assert.equal((await row(made.id)).fence, 1n);
      leave.resolve();
      await one.idle();
      assert.deepEqual(asked(), ["a"]);
    });

    it("gives up a step that does not keep to its deadline, and asks again", async (t) => {
      const { engine, trip, request, asked } = app(t, (ask) => [
        step(ask, "a", () => (asked().length === 1 ? new Promise(() => undefined) : undefined)),
      ]);
      const one = engine({ stepMs: 10, leaseMs: 120, stepGraceMs: 10 });
      await one.start();
      const made = request();
      assert.deepEqual(await one.run(trip, made), done(made.id, "start a"));
      assert.deepEqual(asked(), ["a", "a"]);
    });

    it("stops: begins no more, waits for those under way, and leaves the rest to others at once", async (t) => {
      const entered = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const leave = Promise.withResolvers<void>();
      let hanging = true;
      const { engine, trip, request, row } = app(t, (ask) => [
        step(ask, "a", async (call) => {
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
  });
}

function factsOf(refusal: Refusal | false): unknown {
  assert.ok(refusal instanceof Refusal);
  const { reason, code, message, details, fields } = refusal;
  return { reason, code, message, details, fields };
}

function alarmLog(alarm: (fields: LogFields) => void): Logger {
  const look = (fields: LogFields) => void (fields["alert"] !== undefined && alarm(fields));
  const log: Logger = { debug: look, info: look, warn: look, error: look, child: () => log };
  return log;
}
