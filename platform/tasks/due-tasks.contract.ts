import assert from "node:assert/strict";
import { it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import type { StringValue } from "@bufbuild/protobuf/wkt";
import { forbidInTransaction } from "../database/in-transaction.ts";
import { sql } from "../database/sql.ts";
import { platformRetention } from "../retention/platform-retention.ts";
import { sweep } from "../retention/sweep.ts";
import type { Call } from "../call/call.ts";
import { countTasks } from "./admin.ts";
import type { Task } from "./tasks.ts";
import { call, hourMs, start, value } from "./open-test-tasks.ts";
import type { TasksSetup } from "./open-test-tasks.ts";

/** Tasks from the cause that writes them to their due time. */
export function dueTasks({ app, effect, effectsOf, database }: TasksSetup): void {
  it("runs a task once, with its payload, outside of transactions, and writes its effect with its end", async (t) => {
    const runs: { task: Task<StringValue>; call: Call }[] = [];
    const { engine, add, list, queue } = app(t, async (task, taskCall) => {
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

  it("writes no task when its cause's transaction rolls back", async (t) => {
    const { engine, list, queue } = app(t, async () => assert.fail("ran"));
    const tasks = engine();
    await tasks.start();
    const rolledBack = database().transaction(async (tx) => {
      await tasks.add(tx, call, [{ queue: queue.name, key: "1", payload: value("x") }]);
      throw new Error("rolled back");
    });
    await assert.rejects(rolledBack, /rolled back/);
    await tasks.idle();
    assert.deepEqual(await list("waiting"), []);
  });

  it("takes tasks as part of a statement that writes something else", async (t) => {
    const { engine, list, queue } = app(t, async () => undefined);
    const tasks = engine();
    await tasks.start();
    const added = [{ queue: queue.name, key: "1", payload: value("x") }];
    await database().run(sql`with work as (${tasks.addSql(call, added)}) insert into effects (task, note) values ('state', 'with a task')`);
    tasks.wake();
    await tasks.idle();
    assert.equal((await list("done")).length, 1);
    assert.equal(await database().run(tasks.addSql(call, [])), 0);
  });

  it("refuses a task for a queue that does not exist, or with another payload", async (t) => {
    const { engine, queue } = app(t, async () => undefined);
    const tasks = engine();
    assert.throws(() => tasks.addSql(call, [{ queue: "nowhere", key: "1", payload: value("x") }]), /no queue nowhere/);
    assert.throws(
      () => tasks.addSql(call, [{ queue: queue.name, key: "1", payload: create(DurationSchema, {}) }]),
      /not google.protobuf.Duration/,
    );
  });

  it("MSG-14: a job is unique by its key, while it waits and for a day after it was done", async (t) => {
    let runs = 0;
    const { engine, add, clock, list } = app(t, async () => void runs++);
    const tasks = engine();
    await tasks.start();
    await add(tasks, "a", "b", "a");
    await add(tasks, "a");
    await tasks.idle();
    clock.advance(24 * hourMs - 1);
    await add(tasks, "a");
    await tasks.idle();
    assert.equal(runs, 2);
    clock.advance(2 * 60_000);
    await sweep(
      database(),
      platformRetention.filter(({ table }) => table === "tasks"),
      clock.now(),
    );
    assert.deepEqual(await list("done"), []);
    await add(tasks, "a");
    await tasks.idle();
    assert.equal(runs, 3);
  });

  it("MSG-14: jobs written while no worker ran are resumed, and are counted", async (t) => {
    const runs: string[] = [];
    const { engine, add, clock, queue } = app(t, async (task) => void runs.push(task.key));
    const tasks = engine();
    await add(tasks, "now", { key: "later", dueAt: new Date(start.getTime() + 1) });
    const counts = (await countTasks(database(), clock.now())).find((row) => row.queue === queue.name);
    assert.deepEqual(counts, { queue: queue.name, scheduled: 1, due: 1, running: 0, dead: 0, oldestDueAt: start });
    await tasks.start();
    await tasks.idle();
    assert.deepEqual(runs, ["now"]);
  });

  it("runs delayed tasks when they are due, not a millisecond before", async (t) => {
    const runs: string[] = [];
    const { engine, add, clock } = app(
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
    const { engine, add, clock } = app(t, async () => ran.resolve());
    const tasks = engine({ options: { pollMs: 60_000 } });
    await tasks.start();
    await add(tasks, { key: "1", dueAt: new Date(start.getTime() + hourMs) });
    await tasks.idle();
    clock.advance(hourMs);
    await ran.promise;
  });

  it("continues with the same row when a task sets `again`, and counts its attempts anew", async (t) => {
    const runs: string[] = [];
    const { engine, add, clock, list } = app(t, async (task) => {
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
    const { engine, add, clock, list, queue } = app(t, async () => {
      entered.resolve();
      await leave.promise;
    });
    const tasks = engine();
    await tasks.start();
    const later = new Date(start.getTime() + 9 * hourMs);
    const reschedule = (dueAt: Date) => database().transaction((tx) => tasks.reschedule(tx, queue.name, "1", dueAt));
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

  it("runs a task at once that is moved to now", async (t) => {
    const ran = Promise.withResolvers<void>();
    const { engine, add, queue } = app(t, async () => ran.resolve());
    const tasks = engine({ options: { pollMs: 60_000 } });
    await tasks.start();
    await add(tasks, { key: "1", dueAt: new Date(start.getTime() + hourMs) });
    await database().transaction((tx) => tasks.reschedule(tx, queue.name, "1", start));
    await ran.promise;
  });
}
