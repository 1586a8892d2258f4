import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "../../telemetry/logger.ts";
import { controlEngine } from "../../testing/engines.ts";
import { append, assertExactlyOnce, recording, until } from "../test-subscriptions.ts";
import { createKafkaEvents } from "./kafka-events.ts";
import { readTopic, testKafka } from "./test-kafka-topics.ts";
import { openTestInstallation } from "../open-test-installation.ts";
import type { TestProcess } from "../open-test-installation.ts";

const count = (name: string, plain: number): number => Number(process.env[name] ?? plain);
const quick = { lingerMs: 0, pauseMs: 0 };

/** Appends to a few streams until it is stopped; `stop` returns how many events there are then. */
function writing({ publisher, log }: TestProcess, name: string): { readonly written: () => number; stop(): Promise<number> } {
  let [going, written] = [true, 0];
  const running = (async () => {
    for (; going; written++) {
      await append(publisher, log, `${name}${written % 7}`, Math.floor(written / 7), 1);
      await sleep(2);
    }
  })();
  return {
    written: () => written,
    async stop() {
      going = false;
      await running;
      return written;
    },
  };
}

describe("events: the loss of Kafka", () => {
  it("R10, I8: a broker that is killed and restarted loses no event; the publisher goes on, and all is applied soon after", async () => {
    const kafka = testKafka();
    const warnings: string[] = [];
    const silent = () => undefined;
    const log: Logger = {
      debug: silent,
      info: silent,
      warn: (_, text) => warnings.push(text),
      error: (_, text) => warnings.push(text),
      child: () => log,
    };
    const installation = await openTestInstallation({ broker: (theLog) => createKafkaEvents({ ...kafka, log: theLog }), log });
    const [one, two] = [await installation.process(), await installation.process()];
    const watching = [await one.subscribe([recording("watch")], quick), await two.subscribe([recording("watch")], quick)];
    const writer = writing(one, "s");
    await until(async () => writer.written() > 20);
    for (let times = 0; times < count("KONTOR_OUTAGES", 1); times++) {
      await controlEngine("kill", "kafka");
      const before = writer.written();
      try {
        await sleep(count("KONTOR_OUTAGE_MS", 3_000));
        assert.ok(writer.written() > before + 20, "the log grows while Kafka is unavailable");
      } finally {
        await controlEngine("start", "kafka");
      }
    }
    const backMs = performance.now();
    const written = await writer.stop();
    await Promise.all(watching.map((each) => each.caughtUp()));
    assert.ok(performance.now() - backMs < 60_000);
    const [status] = await watching[0]!.status();
    assert.deepEqual([status!.applied, status!.parked, status!.lag], [written, 0, 0]);
    await assertExactlyOnce(one.publisher, one.subscriber, "watch");
    const ids = (await readTopic(kafka, `${kafka.prefix}.things`)).map(({ headers }) => headers["ce_id"]);
    assert.equal(new Set(ids).size, written);
    // Two processes that cannot read, one that cannot publish.
    assert.ok(warnings.length <= 3 * count("KONTOR_OUTAGES", 1), warnings.join("\n"));
  });

  it("R10: nothing is lost while a broker hangs, and all is applied when it continues", async () => {
    const kafka = testKafka();
    const installation = await openTestInstallation({ broker: (log) => createKafkaEvents({ ...kafka, log }) });
    const shop = await installation.process();
    const watching = await shop.subscribe([recording("watch")], quick);
    await append(shop.publisher, shop.log, "a", 0, 5);
    await watching.caughtUp();
    await controlEngine("stop", "kafka");
    try {
      await append(shop.publisher, shop.log, "a", 5, 5);
      await sleep(1_000);
    } finally {
      await controlEngine("cont", "kafka");
    }
    await append(shop.publisher, shop.log, "a", 10, 5);
    await watching.caughtUp();
    await assertExactlyOnce(shop.publisher, shop.subscriber, "watch");
  });

  it("MSG-11, R10: of three brokers one is killed: events go on and nothing is lost", async () => {
    const kafka = testKafka("ENGINE_KAFKA_CLUSTER", { replicas: 3 });
    const installation = await openTestInstallation({ broker: (log) => createKafkaEvents({ ...kafka, log }) });
    const shop = await installation.process();
    const watching = await shop.subscribe([recording("watch")], quick);
    const writer = writing(shop, "s");
    await until(async () => ((await watching.status())[0]?.applied ?? 0) > 20);
    await controlEngine("kill", "kafka-cluster-2");
    try {
      const before = writer.written();
      await until(async () => ((await watching.status())[0]?.applied ?? 0) > before + 20);
      const written = await writer.stop();
      await watching.caughtUp();
      const ids = (await readTopic(kafka, `${kafka.prefix}.things`)).map(({ headers }) => headers["ce_id"]);
      assert.equal(new Set(ids).size, written);
    } finally {
      await controlEngine("start", "kafka-cluster-2");
    }
    await assertExactlyOnce(shop.publisher, shop.subscriber, "watch");
  });
});
