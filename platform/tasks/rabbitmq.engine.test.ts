import assert from "node:assert/strict";
import { once } from "node:events";
import { performance } from "node:perf_hooks";
import { describe, it } from "node:test";
import { createConnectionBudget } from "../database/connection-budget.ts";
import { migrate } from "../database/migrate.ts";
import { openDatabase } from "../database/postgres.ts";
import type { Logger } from "../telemetry/logger.ts";
import { engineAddress } from "../testing/engines.ts";
import { testDatabase } from "../testing/postgres.ts";
import { replayTask, skipTask } from "./admin.ts";
import { taskMigrations } from "./embedded.ts";
import { bodyOf, envelopeOf } from "./rabbit-queues.ts";
import { claimTasks } from "./task-store.ts";
import { tasksContract } from "./tasks.contract.ts";
import { openRelay, openTestRabbit } from "./test-rabbit.ts";
import { eventually, openTaskShop } from "./test-task-shop.ts";
import type { TaskShop } from "./test-task-shop.ts";
import { startWorker } from "./test-worker.ts";

const server = engineAddress("ENGINE_RABBITMQ");
const drained = Number(process.env["KONTOR_TASKS_DRAINED"] ?? 300);
const quiet: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined, child: () => quiet };

tasksContract("rabbitmq", async () => {
  const { connection } = await testDatabase();
  const database = openDatabase({
    name: "orders",
    connection,
    budget: createConnectionBudget({ connections: 10, background: 4 }),
    log: quiet,
  });
  await migrate(database, [taskMigrations]);
  const rabbit = openTestRabbit([server], "orders");
  return {
    database,
    engine: (init) => rabbit.engine(init),
    close: async () => {
      await rabbit.close();
      await database.stop();
    },
  };
});

const keys = (count: number) => Array.from({ length: count }, (_, at) => `${at}`);

/** Work that goes on until it is released. */
function gate() {
  const entered = Promise.withResolvers<void>();
  const left = Promise.withResolvers<void>();
  const pass = async () => {
    entered.resolve();
    await left.promise;
  };
  return { entered: entered.promise, leave: left.resolve, pass };
}

const alertsOf = ({ lines }: TaskShop, alert: string) =>
  lines.filter(({ level, fields }) => level === "error" && fields["alert"] === alert);

describe("tasks over rabbitmq", () => {
  it("MSG-02: its queues are durable quorum queues with a delivery limit and a queue for dead letters", async () => {
    const shop = await openTaskShop([server], async () => undefined);
    await shop.engine().start();
    const management = new URL(engineAddress("ENGINE_RABBITMQ_MANAGEMENT"));
    const authorization = `Basic ${btoa(`${management.username}:${management.password}`)}`;
    const response = await fetch(new URL(`/api/queues/%2F/${shop.rabbit.nameOf("work")}`, management.origin), {
      headers: { authorization },
    });
    const { durable, type, arguments: limits } = (await response.json()) as Record<string, unknown>;
    assert.deepEqual([durable, type], [true, "quorum"]);
    assert.deepEqual(limits, {
      "x-queue-type": "quorum",
      "x-delivery-limit": 20,
      "x-dead-letter-exchange": shop.rabbit.nameOf("dead-letters"),
    });
  });

  it(`MSG-05 TST-11: ${drained} tasks of two processes: queue empty, dead letters empty, all effects present, once`, async () => {
    const shop = await openTaskShop([server], async (task) => shop.effect(task), { concurrency: 20 });
    const [one, two] = [shop.engine(), shop.engine()];
    await Promise.all([one.start(), two.start()]);
    for (let at = 0; at < drained; at += 500)
      await shop.add(
        one,
        keys(Math.min(500, drained - at)).map((key) => `${at}/${key}`),
      );
    await one.idle();
    const done = (await shop.list("done")).map(({ id }) => id);
    assert.equal(done.length, drained);
    assert.deepEqual((await shop.effects()).toSorted(), done.toSorted());
    assert.deepEqual([await shop.list("waiting"), await shop.list("dead")], [[], []]);
    await Promise.all([one.stop(), two.stop()]);
    assert.deepEqual(
      [await shop.rabbit.waitingIn(shop.rabbit.nameOf("work")), await shop.rabbit.waitingIn(shop.rabbit.nameOf("dead-letters"))],
      [0, 0],
    );
  });

  it("MSG-07: fails twice, then succeeds: handled once, after the expected pauses", async () => {
    const tries: number[] = [];
    const shop = await openTaskShop(
      [server],
      async (task) => {
        tries.push(performance.now());
        if (task.attempt < 3) throw new Error("not yet");
        return shop.effect(task);
      },
      { retryDelayMs: 100 },
    );
    const tasks = shop.engine();
    await tasks.start();
    await shop.add(tasks, ["1"]);
    await eventually(async () => (await shop.list("done")).length === 1);
    const pauses = tries.slice(1).map((at, before) => at - tries[before]!);
    assert.equal(pauses.length, 2);
    for (const [at, meantMs] of [100, 200].entries())
      assert.ok(pauses[at]! > meantMs * 0.79 && pauses[at]! < meantMs * 1.2 + 2_000, `${pauses.join(", ")} ms`);
    assert.equal((await shop.effects()).length, 1);
  });

  it("MSG-06 I13: a message that is requeued too often counts as a failed try, with an alert; the dead task can be replayed", async () => {
    const shop = await openTaskShop([server], async (task) => shop.effect(task), { attemptsMax: 1 });
    const { rabbit, database } = shop;
    const [work, deadLetters] = [rabbit.nameOf("work"), rabbit.nameOf("dead-letters")];
    const first = shop.engine();
    await first.start();
    await first.stop();
    await shop.add(first, ["lost"]);
    const { claimed } = await claimTasks(database, [{ queue: "work", room: 1, leaseMs: 60_000 }], new Date(), "send");
    const channel = await rabbit.connection.acquire();
    await channel.basicPublish(envelopeOf(work, claimed[0]!), bodyOf(claimed[0]!));
    await channel.basicPublish({ routingKey: work, durable: true }, "not a task's message");
    let returned = 0;
    await eventually(async () => {
      const message = await channel.basicGet(work);
      if (message !== undefined) channel.basicNack({ deliveryTag: message.deliveryTag, requeue: typeof message.body !== "string" });
      if (message !== undefined) returned++;
      return (await rabbit.waitingIn(deadLetters)) === 2;
    });
    await channel.close();
    assert.ok(returned > 20, `${returned} deliveries`);

    const tasks = shop.engine();
    await tasks.start();
    await eventually(async () => (await shop.list("dead")).length === 1);
    const [dead] = await shop.list("dead");
    assert.match(dead?.cause ?? "", /^DEPENDENCY_UNAVAILABLE: .*delivery_limit/);
    await eventually(() => alertsOf(shop, "TASK_UNDELIVERED").length === 2);
    assert.equal(alertsOf(shop, "TASK_DEAD").length, 1);
    assert.equal(await replayTask(database, dead!.id, new Date()), true);
    await tasks.idle();
    assert.deepEqual(await shop.effects(), [dead!.id]);
    await tasks.stop();
    assert.deepEqual([await rabbit.waitingIn(work), await rabbit.waitingIn(deadLetters)], [0, 0]);
  });

  it("a task that was sent and not begun can be moved and skipped; its message then has no effect", async () => {
    const work = gate();
    const ran: string[] = [];
    const shop = await openTaskShop([server], async ({ key }) => (ran.push(key), key === "first" ? work.pass() : undefined), {
      concurrency: 1,
    });
    const tasks = shop.engine();
    await tasks.start();
    await shop.add(tasks, ["first"]);
    await work.entered;
    await shop.add(tasks, ["moved", "skipped", "unchanged"]);
    await eventually(async () => (await shop.rabbit.waitingIn(shop.rabbit.nameOf("work"))) === 3);
    const waiting = await shop.list("waiting");
    assert.deepEqual(
      waiting.filter(({ running }) => running).map(({ key }) => key),
      ["first"],
    );
    const later = new Date(Date.now() + 3_600_000);
    await shop.database.transaction((tx) => tasks.reschedule(tx, "work", "moved", later));
    assert.equal(await skipTask(shop.database, waiting.find(({ key }) => key === "skipped")!.id, new Date()), true);
    work.leave();
    await tasks.idle();
    assert.deepEqual(ran, ["first", "unchanged"]);
    assert.deepEqual(
      (await shop.list("waiting")).map(({ key, dueAt, attempts }) => [key, dueAt, attempts]),
      [["moved", later, 0]],
    );
  });

  it("MSG-09: a message that is delivered again while its task runs elsewhere runs nothing", async (t) => {
    const work = gate();
    let runs = 0;
    const relay = await openRelay(server);
    t.after(() => relay.close());
    relay.open();
    const shop = await openTaskShop([server], async (task) => {
      runs++;
      await work.pass();
      return shop.effect(task);
    });
    const cut = shop.engine({ urls: [relay.url] });
    await cut.start();
    await shop.add(cut, ["1"]);
    await work.entered;
    const other = shop.engine();
    await other.start();
    relay.cut();
    const isBack = () => shop.lines.some(({ message }) => message === "RabbitMQ is available again");
    await eventually(async () => isBack() && (await shop.rabbit.waitingIn(shop.rabbit.nameOf("work"))) === 0);
    await shop.add(other, ["2"]);
    await eventually(() => runs === 2);
    work.leave();
    await other.idle();
    assert.deepEqual([runs, (await shop.list("done")).length, (await shop.effects()).length], [2, 2, 2]);
    assert.equal(shop.lines.filter(({ message }) => message.startsWith("RabbitMQ is unavailable")).length, 1);
  });

  it("R11: without RabbitMQ at its start a service starts, logs it once, and its tasks run when it is available", async (t) => {
    const shop = await openTaskShop([server], async (task) => shop.effect(task));
    const relay = await openRelay(server);
    t.after(() => relay.close());
    const tasks = shop.engine({ urls: [relay.url] });
    await tasks.start();
    await shop.add(tasks, keys(50));
    await eventually(() => relay.refused() > 3);
    assert.deepEqual(
      (await shop.list("waiting")).filter(({ attempts }) => attempts > 0),
      [],
    );
    assert.deepEqual(
      shop.lines.filter(({ level }) => level !== "debug").map(({ message }) => message),
      ["RabbitMQ is unavailable: tasks wait until it is available again"],
    );
    relay.open();
    const openedMs = performance.now();
    await eventually(async () => (await shop.list("done")).length === 50);
    assert.ok(performance.now() - openedMs < 10_000);
    assert.equal((await shop.effects()).length, 50);
  });

  it("PAY-05 MSG-14: a job whose process is killed with -9 in the middle is resumed by another, its effect written once", async () => {
    const shop = await openTaskShop([server], async (task) => shop.effect(task), { timeoutMs: 400 });
    const { databaseUrl, rabbit } = shop;
    const writer = shop.engine();
    const worker = await startWorker({
      databaseUrl,
      rabbitUrl: server,
      prefix: rabbit.prefix,
      service: "orders",
      queue: "work",
      timeoutMs: 400,
      leaseMs: 100,
    });
    const survivor = shop.engine({ options: { leaseMs: 100 } });
    const begun = once(worker, "message");
    await shop.add(writer, ["charge"]);
    const [id] = (await begun) as [string];
    worker.kill("SIGKILL");
    await once(worker, "exit");
    await survivor.start();
    await survivor.idle();
    const done = await shop.list("done");
    assert.deepEqual(
      done.map(({ id: task, attempts }) => [task, attempts]),
      [[id, 2]],
    );
    assert.deepEqual(await shop.effects(), [id]);
  });

  it("MSG-14: counts for its metrics what waits, runs, is done and is dead in each queue", async () => {
    const work = gate();
    const shop = await openTaskShop(
      [server],
      async ({ key }) => {
        if (key === "poison") throw new Error("no");
        if (key === "long") await work.pass();
      },
      { attemptsMax: 1 },
    );
    const tasks = shop.engine();
    await tasks.start();
    assert.deepEqual(await tasks.figures(), [
      { queue: "work", scheduled: 0, due: 0, running: 0, dead: 0, oldestDueAt: undefined, done: 0, failed: 0, died: 0 },
    ]);
    await shop.add(tasks, ["long", "short", "poison"]);
    await shop.add(tasks, ["later"], new Date(Date.now() + 3_600_000));
    await work.entered;
    await eventually(async () => (await shop.list("waiting")).length === 2);
    const [figures] = await tasks.figures();
    const { oldestDueAt, ...counts } = figures!;
    assert.deepEqual(counts, { queue: "work", scheduled: 1, due: 1, running: 1, dead: 1, done: 1, failed: 0, died: 1 });
    assert.ok(oldestDueAt instanceof Date);
    work.leave();
  });

  it("sends a task again whose message was lost, when no process has begun it in time", async () => {
    const shop = await openTaskShop([server], async (task) => shop.effect(task));
    const { rabbit, database } = shop;
    const tasks = shop.engine();
    await shop.add(tasks, ["1"]);
    await claimTasks(database, [{ queue: "work", room: 1, leaseMs: 300 }], new Date(), "send"); // and the process dies before it sends
    await tasks.start();
    await tasks.idle();
    assert.equal((await shop.effects()).length, 1);
    await rabbit.connection.queueDelete(rabbit.nameOf("work")); // deleted while it is in use
    await shop.add(tasks, ["2"]);
    await tasks.idle();
    assert.equal((await shop.effects()).length, 2);
  });

  it("refuses malformed addresses, and a start that the server refuses", async () => {
    const shop = await openTaskShop([server], async () => undefined);
    assert.throws(() => shop.engine({ urls: [] }), /needs an address/);
    assert.throws(() => shop.engine({ urls: ["http://127.0.0.1"] }), /amqp:/);
    assert.throws(() => shop.engine({ urls: [server, "amqp://other:secret@127.0.0.1:1"] }), /differ in host and port only/);
    const wrong = new URL(server);
    wrong.password = "wrong";
    await assert.rejects(shop.engine({ urls: [wrong.href] }).start(), (error: Error) => {
      assert.match(error.message, /refuses the user .* KONTOR_TASKS/);
      return !error.message.includes("wrong");
    });
  });
});
