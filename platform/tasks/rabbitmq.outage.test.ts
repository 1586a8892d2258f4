import assert from "node:assert/strict";
import { once } from "node:events";
import { performance } from "node:perf_hooks";
import { after, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { controlEngine, engineAddress } from "../testing/engines.ts";
import { eventually, openTaskShop } from "./test-task-shop.ts";
import type { TaskShop } from "./test-task-shop.ts";
import { startWorker } from "./test-worker.ts";

const server = engineAddress("ENGINE_RABBITMQ");
const cluster = engineAddress("ENGINE_RABBITMQ_CLUSTER").split(",");
const node = "rabbitmq-cluster-1";
const outageMs = Number(process.env["KONTOR_OUTAGE_MS"] ?? 2_000);
const count = Number(process.env["KONTOR_OUTAGE_TASKS"] ?? 200);
const workMs = 20;
/** RabbitMQ 3.10 writes down some seconds later that a quorum queue is there: one that is younger does not survive kill -9. Nothing tells when. */
const youthMs = 5_000;

after(async () => {
  await controlEngine("start", "rabbitmq");
  await controlEngine("start", node);
});

const keys = (name: string, of = count) => Array.from({ length: of }, (_, at) => `${name}${at}`);

/** Everything was done, and each effect written once. */
async function assertAllDone(shop: TaskShop, expected: number): Promise<void> {
  await eventually(async () => (await shop.list("waiting")).length === 0);
  const done = (await shop.list("done")).map(({ id }) => id);
  assert.equal(done.length, expected);
  assert.deepEqual((await shop.effects()).toSorted(), done.toSorted());
  assert.deepEqual(await shop.list("dead"), []);
}

const linesOf = ({ lines }: TaskShop, start: string) => lines.filter(({ message }) => message.startsWith(start)).length;

describe("tasks: outages of rabbitmq", () => {
  it("R11 MSG-02: killed with -9 and back: no task lost, each effect once, the first sent within 10 s", async () => {
    const ran = new Map<string, number>();
    const shop = await openTaskShop([server], async (task) => {
      ran.set(task.key, performance.now());
      await pause(workMs);
      return shop.effect(task);
    });
    const [one, two] = [shop.engine(), shop.engine()];
    await Promise.all([one.start(), two.start()]);
    await pause(youthMs);
    await shop.add(one, keys("before"));
    await eventually(() => ran.size > count / 10);
    await controlEngine("kill", "rabbitmq");
    await shop.add(two, keys("during"));
    await pause(outageMs);
    await controlEngine("start", "rabbitmq");
    const backMs = performance.now();
    await assertAllDone(shop, 2 * count);
    const first = Math.min(...keys("during").map((key) => ran.get(key)!)) - backMs;
    assert.ok(first < 10_000, `${first} ms`);
    assert.deepEqual([linesOf(shop, "RabbitMQ is unavailable"), linesOf(shop, "RabbitMQ is available again")], [2, 2]); // of two processes
  });

  it("R11: frozen and going on: no task lost, each effect once", async () => {
    const shop = await openTaskShop([server], async (task) => {
      await pause(workMs);
      return shop.effect(task);
    });
    const tasks = shop.engine();
    await tasks.start();
    await shop.add(tasks, keys("before"));
    await eventually(async () => (await shop.effects()).length > count / 10);
    await controlEngine("stop", "rabbitmq");
    await shop.add(tasks, keys("during"));
    await pause(outageMs);
    await controlEngine("cont", "rabbitmq");
    await assertAllDone(shop, 2 * count);
  });

  it("R11: a consumer killed in the middle of its tasks while RabbitMQ is unavailable: another runs them, each effect once", async () => {
    const shop = await openTaskShop([server], async (task) => shop.effect(task), { timeoutMs: 1_000, concurrency: 4 });
    const { databaseUrl, rabbit } = shop;
    const lease = { timeoutMs: 1_000, leaseMs: 200 };
    const worker = await startWorker({ databaseUrl, rabbitUrl: server, prefix: rabbit.prefix, service: "orders", queue: "work", ...lease });
    await pause(youthMs);
    const begun = once(worker, "message");
    await shop.add(shop.engine(), keys("task", 20));
    await begun;
    await controlEngine("kill", "rabbitmq");
    worker.kill("SIGKILL");
    await once(worker, "exit");
    await controlEngine("start", "rabbitmq");
    await shop.engine({ options: { leaseMs: 200 } }).start();
    await assertAllDone(shop, 20);
  });

  it("MSG-10 MSG-08: one of three nodes killed: no task lost, and what becomes due meanwhile runs within 5 s of its time", async () => {
    const ran = new Map<string, number>();
    const shop = await openTaskShop(cluster, async (task) => {
      ran.set(task.key, Date.now());
      await pause(workMs);
      return shop.effect(task);
    });
    // The first of its addresses is the node that is killed, as is the leader of its queues.
    const engines = cluster.map((_, at) => shop.engine({ urls: [...cluster.slice(at), ...cluster.slice(0, at)] }));
    await Promise.all(engines.map((engine) => engine.start()));
    const writer = engines[0]!;
    const dueAt = new Date(Date.now() + 3_000);
    await shop.add(writer, ["reminder"], dueAt);
    await shop.add(writer, keys("before"));
    await eventually(() => ran.size > count / 10);
    await controlEngine("kill", node);
    for (let batch = 0; batch < 10; batch++) {
      await shop.add(writer, keys(`during${batch}/`, count / 10));
      await pause(outageMs / 10);
    }
    await assertAllDone(shop, 2 * count + 1);
    const lateMs = ran.get("reminder")! - dueAt.getTime();
    assert.ok(lateMs >= -5 && lateMs < 5_000, `${lateMs} ms`);
    await controlEngine("start", node);
    await shop.add(writer, keys("after"));
    await assertAllDone(shop, 3 * count + 1);
  });
});
