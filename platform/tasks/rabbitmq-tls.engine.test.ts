import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "../clock/clock.ts";
import { engineAddress } from "../testing/engines.ts";
import { openTlsServer, tlsFaults, writtenLog } from "../testing/test-tls-server.ts";
import type { TlsServer } from "../testing/test-tls-server.ts";
import { eventually, openTaskShop } from "./test-task-shop.ts";
import type { TaskShop } from "./test-task-shop.ts";

const rabbitmq = engineAddress("ENGINE_RABBITMQ");

/** A shop whose plain-text connection to RabbitMQ is open before anything is counted. */
async function openShop(): Promise<TaskShop> {
  const shop = await openTaskShop([rabbitmq], async (task) => shop.effect(task));
  await shop.rabbit.connection.onConnect(30_000);
  return shop;
}

function engineOf(shop: TaskShop, { host, port }: TlsServer, ca: string | undefined, scheme = "amqps:") {
  const written = writtenLog();
  const url = `${scheme}//${Object.assign(new URL(rabbitmq), { host: `${host}:${port}` }).href.slice("amqp://".length)}`;
  const { database, queue } = shop;
  const init = {
    service: "orders",
    database,
    queues: [queue],
    clock: systemClock,
    log: written.log,
    options: { pollMs: 200, stopMs: 1_000 },
  };
  const tasks = shop.rabbit.engine({ ...init, urls: [url], ...(ca !== undefined && { ca }) });
  return { tasks, ...written };
}

describe("tasks: RabbitMQ with TLS", () => {
  it("SEC-05: run through encrypted connections alone, trusting the authority that is named", async () => {
    const shop = await openShop();
    const server = await openTlsServer(rabbitmq);
    const { tasks, lines } = engineOf(shop, server, server.ca);
    await tasks.start();
    await shop.add(tasks, ["1", "2", "3"]);
    await eventually(async () => (await shop.list("done")).length === 3);
    assert.equal((await shop.effects()).length, 3);
    await tasks.stop();
    assert.deepEqual([lines, server.bypassed()], [[], 0]);
    assert.ok(server.received() > 0);
  });

  for (const fault of tlsFaults)
    it(`SEC-05: send nothing to a server ${fault.name}, say why, and wait`, async () => {
      const shop = await openShop();
      const { server, ca } = await fault.open(rabbitmq);
      const { tasks, says } = engineOf(shop, server, ca);
      await tasks.start();
      await says(fault.says);
      await shop.add(tasks, ["1"]);
      assert.deepEqual((await shop.list("waiting")).length, 1);
      await tasks.stop();
      assert.equal(server.received(), 0);
    });

  it("SEC-05: get no response in plain text from a TLS port", async () => {
    const shop = await openShop();
    const server = await openTlsServer(rabbitmq);
    const { tasks, says } = engineOf(shop, server, server.ca, "amqp:");
    await tasks.start();
    await says(/RabbitMQ is unavailable/);
    await tasks.stop();
    assert.equal(server.received(), 0);
  });
});
