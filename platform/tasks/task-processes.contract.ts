import assert from "node:assert/strict";
import { it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import fc from "fast-check";
import { sql } from "../database/sql.ts";
import { countingDatabase, killableDatabase } from "./wrapped-database.ts";
import type { TasksEngine } from "./embedded.ts";
import type { TasksSetup } from "./open-test-tasks.ts";

/** Tasks among processes: leases, crashes, concurrency and stopping. */
export function taskProcesses({ app, effect, effectsOf, database }: TasksSetup): void {
  it("MSG-09: a task that runs for longer than a lease stays with its process", async (t) => {
    const runs: number[] = [];
    const { engine, add, list } = app(t, async (task) => {
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

  it("MSG-09: a killed worker's task is taken over when its lease has ended, and the late one writes nothing", async (t) => {
    const entered = Promise.withResolvers<void>();
    const leave = Promise.withResolvers<void>();
    const { engine, add, list, queue } = app(
      t,
      async (task) => {
        entered.resolve();
        await leave.promise;
        return effect(task, "killed");
      },
      { timeoutMs: 40 },
    );
    const mortal = killableDatabase(database());
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

  it("MSG-09: a crash between the work and its completion leaves exactly one effect", async (t) => {
    const worked = Promise.withResolvers<void>();
    const { engine, add, list, queue } = app(t, async (task) => effect(task), { timeoutMs: 40 });
    const mortal = killableDatabase(database());
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

  it("a task whose every try kills its process becomes a dead letter, and is not retried without end", async (t) => {
    const { engine, add, list } = app(t, async () => assert.fail("ran"), { attemptsMax: 2 });
    const tasks = engine();
    await add(tasks, "1");
    await database().run(sql`update tasks set attempts = 2, lease_until = clock_timestamp() - interval '1 second' where state = 'waiting'`);
    await tasks.start();
    await tasks.idle();
    assert.match((await list("dead"))[0]?.cause ?? "", /^LEASE_EXPIRED/);
  });

  it("two workers on one table never write one task's effect twice", async (t) => {
    const workers = new Map<string, number>();
    const both = Promise.withResolvers<void>();
    const { engine, add, list, queue } = app(t, async () => undefined);
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

  it("is notified of tasks that another process wrote, without polling", async (t) => {
    const ran = Promise.withResolvers<string>();
    const { engine, add } = app(t, async (task) => ran.resolve(task.key));
    const worker = engine({ options: { pollMs: 60_000 } });
    await worker.start();
    await worker.idle();
    await add(engine(), "from elsewhere"); // this one has no worker
    assert.equal(await ran.promise, "from elsewhere");
  });

  it("other processes take what the one that wrote it has no room for, without polling", async (t) => {
    const { engine, add, list, queue } = app(t, async () => undefined, { concurrency: 2 });
    const both = Promise.withResolvers<void>();
    const workers = new Set<string>();
    const [one, two] = ["one", "two"].map((worker) =>
      engine({
        options: { pollMs: 60_000 },
        queue: {
          ...queue,
          run: async () => {
            if (workers.add(worker).size === 2) both.resolve();
            await both.promise;
          },
        },
      }),
    ) as [TasksEngine, TasksEngine];
    await Promise.all([one.start(), two.start()]);
    await Promise.all([one.idle(), two.idle()]);
    await add(one, ...Array.from({ length: 6 }, (_, at) => String(at)));
    await both.promise;
    await Promise.all([one.idle(), two.idle()]);
    assert.equal((await list("done")).length, 6);
  });

  it("MSG-05: drains 1,000 tasks in batches, not a statement each", async (t) => {
    let running = 0;
    let most = 0;
    const { engine, add, list } = app(
      t,
      async () => {
        most = Math.max(most, ++running);
        await new Promise(setImmediate);
        running--;
      },
      { concurrency: 20 },
    );
    const counted = countingDatabase(database());
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
        const { engine, add } = app(
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

  it("stops after running tasks have ended, releases those that do not end, and may be stopped twice", async (t) => {
    const entered = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const leave = Promise.withResolvers<void>();
    const { engine, add, list, queue } = app(t, async (task) => {
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
}
