import assert from "node:assert/strict";
import { it } from "node:test";
import { sql } from "../database/sql.ts";
import type { Sql } from "../database/sql.ts";
import type { Writes } from "../database/writes.ts";
import { refuse } from "../errors/refusal.ts";
import type { Call } from "../call/call.ts";
import { replayTask, skipTask } from "./admin.ts";
import { byKey } from "./open-test-tasks.ts";
import type { TasksSetup } from "./open-test-tasks.ts";
import type { Task } from "./tasks.ts";

/** Tasks that fail: retries, dead letters, effects that roll back. */
export function failingTasks({ app, effect, effectsOf, database }: TasksSetup): void {
  it("MSG-07 NTF-10: retries a failing task after growing, jittered pauses, until it succeeds", async (t) => {
    const tries: number[] = [];
    const { engine, add, clock, list } = app(
      t,
      async (task) => {
        tries.push(clock.now().getTime());
        if (task.attempt < 5) throw refuse({ reason: "MAIL_SERVER_UNAVAILABLE", code: "unavailable", message: "No response" });
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
      assert.deepEqual([waiting?.attempts, waiting?.cause], [at + 1, "MAIL_SERVER_UNAVAILABLE: No response"]);
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

  it("RES-02: every try of a task has the same idempotency key and a deadline of its own; one that succeeded is not retried", async (t) => {
    const tries: Call[] = [];
    const { engine, add, clock, list } = app(
      t,
      async (task, taskCall) => {
        tries.push(taskCall);
        assert.ok(taskCall.remainingMs() > 0 && taskCall.remainingMs() <= 5_000);
        if (task.attempt < 3) throw refuse({ reason: "MAIL_SERVER_UNAVAILABLE", code: "unavailable", message: "No response" });
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

  it("MSG-06: a poison task becomes a dead letter with its cause and an alert, the others go on; replay and skip empty the dead letters", async (t) => {
    let healed = false;
    const { engine, add, clock, list, lines } = app(
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
    assert.equal(await replayTask(database(), first.id, clock.now()), true);
    assert.equal(await replayTask(database(), first.id, clock.now()), false);
    await tasks.idle();
    assert.deepEqual(await effectsOf([first.id]), ["done"]);
    assert.equal(await skipTask(database(), second.id, clock.now()), true);
    assert.equal(await skipTask(database(), second.id, clock.now()), false);
    assert.equal(await replayTask(database(), second.id, clock.now()), false);
    assert.deepEqual([await list("dead"), await effectsOf([second.id])], [[], []]);
  });

  it("MSG-06: a task that cannot be decoded is a dead letter at once", async (t) => {
    const { engine, add, list } = app(t, async () => assert.fail("ran"));
    const tasks = engine();
    await add(tasks, "malformed", "other type");
    await database().run(sql`update tasks set payload = '\\xff' where key = 'malformed'`);
    await database().run(sql`update tasks set type = 'google.protobuf.Duration' where key = 'other type'`);
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

  it("rolls back the end with an effect that fails, and retries", async (t) => {
    const { engine, add, clock, list } = app(t, async (task) => ({
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

  it("settles many tasks of a queue in one transaction, and one bad task does not affect the others", async (t) => {
    const batches: number[] = [];
    let begun = 0;
    const allBegan = Promise.withResolvers<void>();
    const endTogether = async () => {
      if (++begun === 20) allBegan.resolve();
      await allBegan.promise;
    };
    const { engine, add, clock, list } = app(t, endTogether, {
      concurrency: 20,
      settle: (tasks, done) => {
        batches.push(tasks.length);
        if (tasks.some((task) => task.key === "7" && task.attempt === 1)) throw new Error("a bad one");
        return settled(tasks, done);
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

  it("what a queue settles is written with the marks or not at all, and not for tasks that another process has claimed", async (t) => {
    const ended = Promise.withResolvers<void>();
    let refused = true;
    const { engine, add, clock, list } = app(t, () => ended.promise, {
      settle: (tasks, done) => ({ ...settled(tasks, done), complete: [sql`${!refused}::boolean`] }),
    });
    const tasks = engine();
    await tasks.start();
    await add(tasks, "1", "2");
    ended.resolve();
    await tasks.idle();
    const failed = (await list("waiting")).toSorted(byKey);
    assert.deepEqual([failed.map(({ attempts }) => attempts), await effectsOf(failed.map(({ id }) => id))], [[1, 1], []]);
    refused = false;
    clock.advance(1_200);
    await tasks.idle();
    assert.deepEqual(await effectsOf(failed.map(({ id }) => id)), ["settled", "settled"]);
  });

  it("settles nothing for a task that another process has claimed meanwhile", async (t) => {
    const [entered, leave] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const { engine, add, list } = app(
      t,
      async () => {
        entered.resolve();
        await leave.promise;
      },
      { settle: settled },
    );
    const tasks = engine();
    await tasks.start();
    await add(tasks, "1");
    await entered.promise;
    const [running] = await list("waiting");
    await database().run(sql`update tasks set fence = fence + 1 where id = ${running!.id}`);
    leave.resolve();
    await tasks.stop();
    assert.deepEqual([(await list("waiting")).map(({ key }) => key), await effectsOf([running!.id])], [["1"], []]);
  });

  it("retries what takes longer than its timeout, and the late try writes nothing", async (t) => {
    const late = Promise.withResolvers<void>();
    const { engine, add, clock, list } = app(
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
}

/** Writes the effect "settled" of each task that was marked. */
function settled(tasks: readonly Task[], done: Sql): Writes {
  return {
    parts: [
      sql`settled as (
        insert into effects (task, note) select id, 'settled' from unnest(${tasks.map((task) => task.id)}::text[]) as new (id) where id in (${done}))`,
    ],
  };
}
