import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { TestContext } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { DurationSchema, StringValueSchema } from "@bufbuild/protobuf/wkt";
import type { StringValue } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { ManualClock } from "../clock/clock.ts";
import type { Database, Transaction } from "../database/database.ts";
import { forbidInTransaction } from "../database/in-transaction.ts";
import { sql } from "../database/sql.ts";
import { refuse } from "../errors/refusal.ts";
import { rootCall } from "../call/call.ts";
import type { Call } from "../call/call.ts";
import type { LogFields, Logger } from "../telemetry/logger.ts";
import { countTasks, listTasks, replayTask, skipTask } from "./admin.ts";
import type { ListedTask } from "./admin.ts";
import type { TasksEngine, TasksInit } from "./embedded.ts";
import { queue } from "./tasks.ts";
import type { NewTask, Queue, Task, TaskResult } from "./tasks.ts";
import { countingDatabase, killableDatabase } from "./wrapped-database.ts";

/** What the suite needs of an engine: a migrated database of its own, and engines on it, each as a process has one. */
export interface TasksHarness {
  readonly database: Database;
  engine(init: Pick<TasksInit, "service" | "queues" | "clock" | "log" | "database" | "random" | "options">): TasksEngine;
  close(): Promise<void>;
}

const start = new Date("2026-03-01T12:00:00.000Z");
const hourMs = 3_600_000;
const call = rootCall({ caller: "orders", timeoutMs: 60_000, correlation: "cor_1" });

/** The suite that every engine of tasks passes. */
export function tasksContract(name: string, open: () => Promise<TasksHarness>): void {
  describe(`tasks: ${name}`, () => {
    let harness: TasksHarness;
    let queues = 0;

    before(async () => {
      harness = await open();
      await harness.database.run(sql`create table effects (task text not null, note text not null)`);
    });
    after(() => harness.close());

    type Run = (task: Task<StringValue>, call: Call) => Promise<TaskResult | void>;

    /** A queue of the test's own, and a way to make processes that work on it. */
    const shop = (t: TestContext, run: Run, settings: Omit<Partial<Queue>, "run" | "schema"> = {}) => {
      const clock = new ManualClock(start);
      const ours = queue({ name: `queue${++queues}`, schema: StringValueSchema, run, ...settings });
      const lines: { fields: LogFields; message: string }[] = [];
      const engine = (
        change: {
          readonly queue?: Queue;
          readonly database?: Database;
          readonly options?: TasksInit["options"];
          readonly random?: () => number;
        } = {},
      ) => {
        const { queue: served = ours, database = harness.database, options = {}, random = () => 0.5 } = change;
        const made = harness.engine({
          service: "orders",
          queues: [served],
          clock,
          log: recordingLog(lines),
          database,
          random,
          options: { stopMs: 1_000, ...options },
        });
        t.after(() => made.stop());
        return made;
      };
      const add = (tasks: TasksEngine, ...added: readonly (string | (Partial<NewTask> & { readonly key: string }))[]) =>
        harness.database.transaction((tx) =>
          tasks.add(
            tx,
            call,
            added.map((task) => ({ queue: ours.name, payload: value("x"), ...(typeof task === "string" ? { key: task } : task) })),
          ),
        );
      const list = (state: "waiting" | "done" | "dead") => listTasks(harness.database, { state, queue: ours.name, limit: 10_000 });
      return { clock, queue: ours, lines, engine, add, list };
    };

    const effect = (task: Task, note = "done") => ({
      effect: async (tx: Transaction) => {
        await tx.run(sql`insert into effects (task, note) values (${task.id}, ${note})`);
      },
    });
    const effectsOf = async (ids: readonly string[]) =>
      (await harness.database.rows<{ note: string }>(sql`select note from effects where task = any (${ids}::text[])`)).map(
        (row) => row.note,
      );

    it("runs a task once, with its payload, outside of transactions, and writes its effect with its end", async (t) => {
      const runs: { task: Task<StringValue>; call: Call }[] = [];
      const { engine, add, list, queue } = shop(t, async (task, taskCall) => {
        forbidInTransaction("a task");
        runs.push({ task, call: taskCall });
        return effect(task);
      });
      const tasks = engine();
      await tasks.start();
      await add(tasks, { key: "mail/1", payload: value("hello") });
      await tasks.idle();
      assert.equal(runs.length, 1);
      const [{ task, call: got }] = runs as [(typeof runs)[0]];
      assert.match(task.id, /^tsk_/);
      assert.deepEqual([task.queue, task.key, task.payload.value, task.attempt, task.dueAt], [queue.name, "mail/1", "hello", 1, start]);
      assert.deepEqual(
        [got.caller, got.correlation, got.causation, got.idempotencyKey, got.trace],
        ["orders", "cor_1", task.id, task.id, call.trace],
      );
      assert.ok(got.remainingMs() > 20_000 && got.remainingMs() <= 30_000);
      assert.deepEqual(await effectsOf([task.id]), ["done"]);
      assert.deepEqual(
        (await list("done")).map((row) => row.id),
        [task.id],
      );
    });

    it("makes no task when its cause's transaction rolls back", async (t) => {
      const { engine, list, queue } = shop(t, async () => assert.fail("ran"));
      const tasks = engine();
      await tasks.start();
      const rolledBack = harness.database.transaction(async (tx) => {
        await tasks.add(tx, call, [{ queue: queue.name, key: "1", payload: value("x") }]);
        throw new Error("rolled back");
      });
      await assert.rejects(rolledBack, /rolled back/);
      await tasks.idle();
      assert.deepEqual(await list("waiting"), []);
    });

    it("takes tasks as part of a statement that writes something else", async (t) => {
      const { engine, list, queue } = shop(t, async () => undefined);
      const tasks = engine();
      await tasks.start();
      const added = [{ queue: queue.name, key: "1", payload: value("x") }];
      await harness.database.run(
        sql`with work as (${tasks.addSql(call, added)}) insert into effects (task, note) values ('state', 'with a task')`,
      );
      tasks.wake();
      await tasks.idle();
      assert.equal((await list("done")).length, 1);
      assert.equal(await harness.database.run(tasks.addSql(call, [])), 0);
    });

    it("refuses a task for a queue that is not there, or with another payload", async (t) => {
      const { engine, queue } = shop(t, async () => undefined);
      const tasks = engine();
      assert.throws(() => tasks.addSql(call, [{ queue: "nowhere", key: "1", payload: value("x") }]), /no queue nowhere/);
      assert.throws(
        () => tasks.addSql(call, [{ queue: queue.name, key: "1", payload: create(DurationSchema, {}) }]),
        /not google.protobuf.Duration/,
      );
    });

    it("MSG-14: a job is unique by its key, while it waits and for a day after it was done", async (t) => {
      let runs = 0;
      const { engine, add, clock, list } = shop(t, async () => void runs++);
      const tasks = engine({ options: { pollMs: 20 } });
      await tasks.start();
      await add(tasks, "a", "b", "a");
      await add(tasks, "a");
      await tasks.idle();
      clock.advance(24 * hourMs - 1);
      await add(tasks, "a");
      await tasks.idle();
      assert.equal(runs, 2);
      clock.advance(2 * 60_000);
      for (let left = 2; left > 0; left = (await list("done")).length) {
        tasks.wake();
        await tasks.idle();
      }
      await add(tasks, "a");
      await tasks.idle();
      assert.equal(runs, 3);
    });

    it("MSG-14: jobs written while no worker ran are resumed, and are counted", async (t) => {
      const runs: string[] = [];
      const { engine, add, clock, queue } = shop(t, async (task) => void runs.push(task.key));
      const tasks = engine();
      await add(tasks, "now", { key: "later", dueAt: new Date(start.getTime() + 1) });
      const counts = (await countTasks(harness.database, clock.now())).find((row) => row.queue === queue.name);
      assert.deepEqual(counts, { queue: queue.name, scheduled: 1, due: 1, running: 0, dead: 0, oldestDueAt: start });
      await tasks.start();
      await tasks.idle();
      assert.deepEqual(runs, ["now"]);
    });

    it("runs delayed tasks at their very time, not a millisecond before", async (t) => {
      const runs: string[] = [];
      const { engine, add, clock } = shop(
        t,
        async (task) => void runs.push(`${task.key} ${(clock.now().getTime() - start.getTime()) / hourMs}`),
      );
      const tasks = engine();
      await tasks.start();
      await add(
        tasks,
        ...[22, 4, 12, 24].map((hours) => ({ key: `reminder`.concat(String(hours)), dueAt: new Date(start.getTime() + hours * hourMs) })),
      );
      for (const hours of [4, 12, 22, 24]) {
        clock.set(new Date(start.getTime() + hours * hourMs - 1));
        await tasks.idle();
        assert.ok(!runs.some((run) => run.startsWith(`reminder${hours} `)));
        clock.advance(1);
        await tasks.idle();
        assert.equal(runs.at(-1), `reminder${hours} ${hours}`);
      }
      assert.equal(runs.length, 4);
    });

    it("wakes by itself when a delayed task's time comes", async (t) => {
      const ran = Promise.withResolvers<void>();
      const { engine, add, clock } = shop(t, async () => ran.resolve());
      const tasks = engine({ options: { pollMs: 60_000 } });
      await tasks.start();
      await add(tasks, { key: "1", dueAt: new Date(start.getTime() + hourMs) });
      await tasks.idle();
      clock.advance(hourMs);
      await ran.promise;
    });

    it("MSG-07 NTF-10: tries a failing task again after growing, jittered pauses, then once and for all", async (t) => {
      const tries: number[] = [];
      const { engine, add, clock, list } = shop(
        t,
        async (task) => {
          tries.push(clock.now().getTime());
          if (task.attempt < 5) throw refuse({ reason: "MAIL_SERVER_AWAY", code: "unavailable", message: "No answer" });
          return effect(task, `try ${task.attempt}`);
        },
        { retryDelayMs: 1_000, retryDelayMsMax: 5_000 },
      );
      const jitter = [0, 1, 0.5, 0.25].values();
      const tasks = engine({ random: () => jitter.next().value ?? assert.fail("one jitter for each failure") });
      await tasks.start();
      await add(tasks, "1");
      await tasks.idle();
      const delays: number[] = [];
      for (const [at, expectedMs] of [800, 2_400, 4_000, 4_500].entries()) {
        const [waiting] = await list("waiting");
        assert.deepEqual([waiting?.attempts, waiting?.cause], [at + 1, "MAIL_SERVER_AWAY: No answer"]);
        clock.advance(expectedMs - 1);
        await tasks.idle();
        assert.equal(tries.length, at + 1);
        clock.advance(1);
        await tasks.idle();
        delays.push(tries.at(-1)! - tries.at(-2)!);
      }
      assert.deepEqual(delays, [800, 2_400, 4_000, 4_500]);
      const [done] = await list("done");
      assert.deepEqual(await effectsOf([done!.id]), ["try 5"]);
    });

    it("RES-02: every try of a task has the same idempotency key and a deadline of its own; one that succeeded is not tried again", async (t) => {
      const tries: Call[] = [];
      const { engine, add, clock, list } = shop(
        t,
        async (task, taskCall) => {
          tries.push(taskCall);
          assert.ok(taskCall.remainingMs() > 0 && taskCall.remainingMs() <= 5_000);
          if (task.attempt < 3) throw refuse({ reason: "MAIL_SERVER_AWAY", code: "unavailable", message: "No answer" });
        },
        { retryDelayMs: 1_000, timeoutMs: 5_000 },
      );
      const tasks = engine();
      await tasks.start();
      await add(tasks, "1");
      for (let minute = 0; minute < 5; minute++) {
        await tasks.idle();
        clock.advance(60_000);
      }
      const [done] = await list("done");
      assert.deepEqual(
        tries.map(({ idempotencyKey }) => idempotencyKey),
        [done?.id, done?.id, done?.id],
      );
    });

    it("MSG-06: a poison task dies with its cause and an alert, the rest flow on; replay and skip empty the dead letters", async (t) => {
      let healed = false;
      const { engine, add, clock, list, lines } = shop(
        t,
        async (task) => {
          if (task.key.startsWith("poison") && !healed) throw new TypeError("no such mailbox: ada@example.org");
          return effect(task);
        },
        { attemptsMax: 3, retryDelayMs: 1_000 },
      );
      const tasks = engine();
      await tasks.start();
      await add(tasks, "poison1", "good1", "poison2", "good2");
      for (let minute = 0; minute < 5; minute++) {
        await tasks.idle();
        clock.advance(60_000);
      }
      const dead = await list("dead");
      assert.deepEqual(
        dead.toSorted(byKey).map((row) => [row.key, row.attempts, row.cause]),
        [
          ["poison1", 3, "TypeError"],
          ["poison2", 3, "TypeError"],
        ],
      );
      assert.equal((await list("done")).length, 2);
      const alerts = lines.filter((line) => line.fields["alert"] === "TASK_DEAD");
      assert.deepEqual(alerts.map((line) => String(line.fields["task"])).toSorted(), dead.map((row) => row.id).toSorted());

      const [first, second] = dead as [(typeof dead)[0], (typeof dead)[0]];
      healed = true;
      assert.equal(await replayTask(harness.database, first.id, clock.now()), true);
      assert.equal(await replayTask(harness.database, first.id, clock.now()), false);
      await tasks.idle();
      assert.deepEqual(await effectsOf([first.id]), ["done"]);
      assert.equal(await skipTask(harness.database, second.id, clock.now()), true);
      assert.equal(await skipTask(harness.database, second.id, clock.now()), false);
      assert.equal(await replayTask(harness.database, second.id, clock.now()), false);
      assert.deepEqual([await list("dead"), await effectsOf([second.id])], [[], []]);
    });

    it("MSG-06: a task that cannot be read is dead at once", async (t) => {
      const { engine, add, list } = shop(t, async () => assert.fail("ran"));
      const tasks = engine();
      await add(tasks, "malformed", "other type");
      await harness.database.run(sql`update tasks set payload = '\\xff' where key = 'malformed'`);
      await harness.database.run(sql`update tasks set type = 'google.protobuf.Duration' where key = 'other type'`);
      await tasks.start();
      await tasks.idle();
      const dead = await list("dead");
      assert.deepEqual(
        dead.toSorted(byKey).map((row) => [row.key, row.attempts, row.cause?.split(":")[0]]),
        [
          ["malformed", 1, "UNREADABLE"],
          ["other type", 1, "UNREADABLE"],
        ],
      );
    });

    it("rolls the end back with an effect that fails, and tries again", async (t) => {
      const { engine, add, clock, list } = shop(t, async (task) => ({
        effect: async (tx) => {
          await tx.run(sql`insert into effects (task, note) values (${task.id}, ${`try ${task.attempt}`})`);
          if (task.attempt === 1) throw new Error("the effect failed");
        },
      }));
      const tasks = engine();
      await tasks.start();
      await add(tasks, "1");
      await tasks.idle();
      const [waiting] = await list("waiting");
      assert.deepEqual([waiting!.attempts, await effectsOf([waiting!.id])], [1, []]);
      clock.advance(1_200);
      await tasks.idle();
      assert.deepEqual(await effectsOf([waiting!.id]), ["try 2"]);
    });

    it("settles what a queue has done in one transaction for many, and one bad task spoils no other", async (t) => {
      const batches: number[] = [];
      let begun = 0;
      const allBegan = Promise.withResolvers<void>();
      const endTogether = async () => {
        if (++begun === 20) allBegan.resolve();
        await allBegan.promise;
      };
      const { engine, add, clock, list } = shop(t, endTogether, {
        concurrency: 20,
        settle: async (tx, tasks) => {
          batches.push(tasks.length);
          await tx.run(sql`insert into effects (task, note) select unnest(${tasks.map((task) => task.id)}::text[]), 'settled'`);
          if (tasks.some((task) => task.key === "7" && task.attempt === 1)) throw new Error("a bad one");
        },
      });
      const tasks = engine();
      await add(tasks, ...Array.from({ length: 20 }, (_, at) => String(at)));
      await tasks.start();
      await tasks.idle();
      assert.deepEqual(batches, [20, ...Array.from({ length: 20 }, () => 1)]);
      const [bad] = await list("waiting");
      assert.deepEqual([bad?.key, bad?.cause, await effectsOf([bad!.id])], ["7", "Error", []]);
      clock.advance(1_200);
      await tasks.idle();
      const done = await list("done");
      assert.deepEqual(
        await effectsOf(done.map((row) => row.id)),
        Array.from({ length: 20 }, () => "settled"),
      );
    });

    it("goes on with the same row when a task says again, its attempts counted anew", async (t) => {
      const runs: string[] = [];
      const { engine, add, clock, list } = shop(t, async (task) => {
        runs.push(`${task.attempt} ${(clock.now().getTime() - start.getTime()) / hourMs}`);
        const again = new Date(start.getTime() + [4, 12, 22][runs.length - 1]! * hourMs);
        if (runs.length === 1) return { ...effect(task, "first"), again };
        if (runs.length < 4) return { again };
        return effect(task, "last");
      });
      const tasks = engine();
      await tasks.start();
      await add(tasks, "reminder");
      for (let hour = 0; hour <= 23; hour++) {
        await tasks.idle();
        clock.advance(hourMs);
      }
      assert.deepEqual(runs, ["1 0", "1 4", "1 12", "1 22"]);
      const done = await list("done");
      assert.deepEqual((await effectsOf(done.map((row) => row.id))).toSorted(), ["first", "last"]);
    });

    it("reschedules a waiting task, never one that runs or is done", async (t) => {
      const entered = Promise.withResolvers<void>();
      const leave = Promise.withResolvers<void>();
      const { engine, add, clock, list, queue } = shop(t, async () => {
        entered.resolve();
        await leave.promise;
      });
      const tasks = engine();
      await tasks.start();
      const later = new Date(start.getTime() + 9 * hourMs);
      const reschedule = (dueAt: Date) => harness.database.transaction((tx) => tasks.reschedule(tx, queue.name, "1", dueAt));
      await add(tasks, { key: "1", dueAt: later });
      await reschedule(new Date(start.getTime() + hourMs));
      await tasks.idle();
      clock.advance(hourMs);
      await entered.promise;
      await reschedule(later);
      leave.resolve();
      await tasks.idle();
      await reschedule(later);
      const done = await list("done");
      assert.deepEqual(
        done.map((row) => row.dueAt),
        [new Date(start.getTime() + hourMs)],
      );
    });

    it("brings a task earlier at once", async (t) => {
      const ran = Promise.withResolvers<void>();
      const { engine, add, queue } = shop(t, async () => ran.resolve());
      const tasks = engine({ options: { pollMs: 60_000 } });
      await tasks.start();
      await add(tasks, { key: "1", dueAt: new Date(start.getTime() + hourMs) });
      await harness.database.transaction((tx) => tasks.reschedule(tx, queue.name, "1", start));
      await ran.promise;
    });

    it("tries again what takes longer than its timeout, and lets the late one write nothing", async (t) => {
      const late = Promise.withResolvers<void>();
      const { engine, add, clock, list } = shop(
        t,
        async (task, taskCall) => {
          if (task.attempt > 1) return effect(task, "second");
          await late.promise;
          assert.equal(taskCall.remainingMs() < 0, true);
          return effect(task, "late");
        },
        { timeoutMs: 30 },
      );
      const tasks = engine();
      await tasks.start();
      await add(tasks, "1");
      await tasks.idle();
      assert.equal((await list("waiting"))[0]?.cause, "DEADLINE_EXCEEDED: DEADLINE_EXCEEDED");
      clock.advance(1_200);
      await tasks.idle();
      late.resolve();
      await tasks.idle();
      assert.deepEqual(await effectsOf((await list("done")).map((row) => row.id)), ["second"]);
    });

    it("MSG-09: a task that runs for longer than a lease stays its process's", async (t) => {
      const runs: number[] = [];
      const { engine, add, list } = shop(t, async (task) => {
        runs.push(task.attempt);
        // Three leases, in which the other looks for it all the time.
        await pause(600);
        return effect(task, `try ${task.attempt}`);
      });
      const options = { leaseMs: 200, pollMs: 10 };
      const [one, two] = [engine({ options }), engine({ options })];
      await Promise.all([one.start(), two.start()]);
      await add(one, "1");
      await Promise.all([one.idle(), two.idle()]);
      const [done] = await list("done");
      assert.deepEqual([runs, await effectsOf([done!.id])], [[1], ["try 1"]]);
    });

    it("MSG-09: a killed worker's task is taken over when its lease is over, and the late one writes nothing", async (t) => {
      const entered = Promise.withResolvers<void>();
      const leave = Promise.withResolvers<void>();
      const { engine, add, list, queue } = shop(
        t,
        async (task) => {
          entered.resolve();
          await leave.promise;
          return effect(task, "killed");
        },
        { timeoutMs: 40 },
      );
      const mortal = killableDatabase(harness.database);
      const options = { leaseMs: 100, pollMs: 10 };
      const killed = engine({ database: mortal.database, options });
      await killed.start();
      await add(killed, "1");
      await entered.promise;
      mortal.kill();
      const survivor = engine({ options, queue: { ...queue, run: async (task) => effect(task, `attempt ${task.attempt}`) } });
      await survivor.start();
      await survivor.idle();
      mortal.revive();
      leave.resolve();
      await killed.idle();
      const done = await list("done");
      assert.deepEqual(await effectsOf(done.map((row) => row.id)), ["attempt 2"]);
    });

    it("MSG-09: a crash between the work and its mark leaves exactly one effect", async (t) => {
      const worked = Promise.withResolvers<void>();
      const { engine, add, list, queue } = shop(t, async (task) => effect(task), { timeoutMs: 40 });
      const mortal = killableDatabase(harness.database);
      const options = { leaseMs: 100, pollMs: 10 };
      const killed = engine({
        database: mortal.database,
        options,
        queue: {
          ...queue,
          run: async (task) => {
            mortal.kill();
            worked.resolve();
            return effect(task);
          },
        },
      });
      await killed.start();
      await add(killed, "1", "2", "3");
      await worked.promise;
      const survivor = engine({ options });
      await survivor.start();
      await survivor.idle();
      const done = await list("done");
      assert.equal(done.length, 3);
      assert.deepEqual(await effectsOf(done.map((row) => row.id)), ["done", "done", "done"]);
    });

    it("a task whose every try kills its process is dead in the end, not tried for ever", async (t) => {
      const { engine, add, list } = shop(t, async () => assert.fail("ran"), { attemptsMax: 2 });
      const tasks = engine();
      await add(tasks, "1");
      await harness.database.run(
        sql`update tasks set attempts = 2, lease_until = clock_timestamp() - interval '1 second' where state = 'waiting'`,
      );
      await tasks.start();
      await tasks.idle();
      assert.match((await list("dead"))[0]?.cause ?? "", /^LEASE_EXPIRED/);
    });

    it("two workers on one table never write one task's effect twice", async (t) => {
      const workers = new Map<string, number>();
      const both = Promise.withResolvers<void>();
      const { engine, add, list, queue } = shop(t, async () => undefined);
      const count = 200;
      const engines = ["one", "two"].map((worker) =>
        engine({
          queue: {
            ...queue,
            run: async (task) => {
              workers.set(worker, (workers.get(worker) ?? 0) + 1);
              if (workers.size === 2) both.resolve();
              await both.promise;
              return effect(task, worker);
            },
          },
        }),
      );
      const [one, two] = engines as [TasksEngine, TasksEngine];
      await add(one, ...Array.from({ length: count }, (_, at) => String(at)));
      await Promise.all([one.start(), two.start()]);
      await Promise.all([one.idle(), two.idle()]);
      const ids = (await list("done")).map((row) => row.id);
      assert.equal(ids.length, count);
      assert.equal((await effectsOf(ids)).length, count);
      assert.equal(
        [...workers.values()].reduce((all, runs) => all + runs),
        count,
      );
      assert.equal(workers.size, 2);
    });

    it("hears of tasks that another process wrote, without polling", async (t) => {
      const ran = Promise.withResolvers<string>();
      const { engine, add } = shop(t, async (task) => ran.resolve(task.key));
      const worker = engine({ options: { pollMs: 60_000 } });
      await worker.start();
      await worker.idle();
      await add(engine(), "from elsewhere"); // this one has no worker
      assert.equal(await ran.promise, "from elsewhere");
    });

    it("MSG-05: drains 1,000 tasks in batches, not a statement each", async (t) => {
      let running = 0;
      let most = 0;
      const { engine, add, list } = shop(
        t,
        async () => {
          most = Math.max(most, ++running);
          await new Promise(setImmediate);
          running--;
        },
        { concurrency: 20 },
      );
      const counted = countingDatabase(harness.database);
      const tasks = engine({ database: counted.database });
      await add(tasks, ...Array.from({ length: 1_000 }, (_, at) => String(at)));
      await tasks.start();
      await tasks.idle();
      assert.equal((await list("done")).length, 1_000);
      assert.ok(most > 10 && most <= 20, `${most} at a time`);
      assert.ok(counted.statements() < 500, `${counted.statements()} statements`);
    });

    it("DEV-07: however many tasks there are and however long they take, no more run at once than the queue allows, and each runs once", async (t) => {
      const load = fc.record({ concurrency: fc.integer({ min: 1, max: 6 }), turns: fc.array(fc.nat(8), { minLength: 1, maxLength: 40 }) });
      await fc.assert(
        fc.asyncProperty(load, async ({ concurrency, turns }) => {
          let [running, most] = [0, 0];
          const ran: string[] = [];
          const { engine, add } = shop(
            t,
            async ({ key }) => {
              most = Math.max(most, ++running);
              for (let turn = 0; turn < turns[Number(key)]!; turn++) await new Promise(setImmediate);
              running--;
              ran.push(key);
            },
            { concurrency },
          );
          const tasks = engine();
          await tasks.start();
          await add(tasks, ...turns.keys().map(String));
          await tasks.idle();
          await tasks.stop();
          assert.ok(most <= concurrency, `${most} at once`);
          assert.deepEqual(ran.toSorted(), turns.keys().map(String).toArray().toSorted());
        }),
        { numRuns: 12 },
      );
    });

    it("stops after what runs has ended, gives back what does not end, and may be stopped twice", async (t) => {
      const entered = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const leave = Promise.withResolvers<void>();
      const { engine, add, list, queue } = shop(t, async (task) => {
        entered[Number(task.key)]!.resolve();
        await (task.key === "0" ? leave.promise : new Promise(() => undefined));
      });
      const tasks = engine({ options: { stopMs: 50 } });
      await tasks.start();
      await add(tasks, "0", "1");
      await Promise.all(entered.map(({ promise }) => promise));
      const stopped = tasks.stop();
      leave.resolve();
      await Promise.all([stopped, tasks.stop()]);
      assert.deepEqual(
        (await list("done")).map((row) => row.key),
        ["0"],
      );
      assert.deepEqual(
        (await list("waiting")).map((row) => [row.key, row.running, row.attempts]),
        [["1", false, 0]],
      );
      const next = engine({ queue: { ...queue, run: async () => undefined } });
      await next.start();
      await next.idle();
      assert.equal((await list("done")).length, 2);
    });
  });
}

const byKey = (one: ListedTask, other: ListedTask) => (one.key < other.key ? -1 : 1);

function value(text: string): StringValue {
  return create(StringValueSchema, { value: text });
}

function recordingLog(lines: { fields: LogFields; message: string }[]): Logger {
  const record = (fields: LogFields, message: string) => void lines.push({ fields, message });
  const log: Logger = { debug: record, info: record, warn: record, error: record, child: () => log };
  return log;
}
