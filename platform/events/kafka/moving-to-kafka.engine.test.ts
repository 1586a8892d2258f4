import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sql } from "../../database/sql.ts";
import { openTestInstallation } from "../open-test-installation.ts";
import { replayParked } from "../subscriptions/parked.ts";
import { subscriptionRows } from "../subscriptions/subscription-store.ts";
import { append, applied, assertExactlyOnce, quick, recording, until } from "../test-subscriptions.ts";
import { createKafkaEvents } from "./kafka-events.ts";
import { openTestKafka } from "./open-test-kafka.ts";

describe("events: moving to Kafka and back", () => {
  it("a subscription goes on from its checkpoint, with its parked events, and nothing is applied again", async () => {
    const { installation } = await openTestKafka(3);
    let broken = true;
    const picky = recording("watch", async (_, events) => {
      if (broken && events.some(({ stream }) => stream === "b")) throw new Error("not now");
    });
    const streams = ["a", "b", "c", "d"];
    const round = async (version: number, other?: object) => {
      const shop = await installation.process(other);
      for (const stream of streams) await append(shop.publisher, shop.log, stream, version, 2);
      const watching = await shop.subscribe([picky], quick);
      await watching.caughtUp();
      const [status] = await watching.status();
      await shop.stop();
      return [status!.applied, status!.parked, status!.lag];
    };
    assert.deepEqual(await round(0, {}), [6, 2, 0]);
    assert.deepEqual(await round(2), [12, 4, 0]);
    assert.deepEqual(await round(4), [18, 6, 0]);
    assert.deepEqual(await round(6, {}), [24, 8, 0]);
    assert.deepEqual(await round(8), [30, 10, 0]);
    broken = false;
    const shop = await installation.process();
    const watching = await shop.subscribe([picky], quick);
    await replayParked(shop.subscriber);
    await applied(shop.subscriber, "watch", 40);
    await watching.caughtUp();
    await assertExactlyOnce(shop.publisher, shop.subscriber, "watch");
  });

  it("a start without Kafka is refused while a partition has not applied all that was relayed, and says what to do", async () => {
    const { installation } = await openTestKafka(2);
    const shop = await installation.process();
    await append(shop.publisher, shop.log, "a", 0, 2);
    const watching = await shop.subscribe([recording("watch")], quick);
    await watching.caughtUp();
    await watching.stop();
    await append(shop.publisher, shop.log, "a", 2, 2);
    await until(async () => {
      const row = await shop.publisher.one<{ done: boolean }>(sql`
        select position = (select max(position) from events) as done from subscriptions where name = 'kontor.relay'`);
      return row.done;
    });
    await shop.stop();
    const plain = await installation.process({});
    await assert.rejects(plain.subscribe([recording("watch")], quick), /watch has been reading its events from a broker.*KONTOR_EVENTS/);
  });

  it("R10: with Kafka unavailable at the start a process starts, its log grows, and subscriptions that wait for events can stop", async () => {
    const installation = await openTestInstallation({ broker: (log) => createKafkaEvents({ brokers: ["127.0.0.1:1"], log }) });
    const shop = await installation.process();
    const watching = await shop.subscribe([recording("watch")], quick);
    await append(shop.publisher, shop.log, "a", 0, 3);
    const [status] = await watching.status();
    assert.deepEqual([status!.applied, status!.lag], [0, 3]);
    const stoppedMs = performance.now();
    await shop.stop();
    assert.ok(performance.now() - stoppedMs < 3_000);
    assert.deepEqual(
      (await subscriptionRows(shop.subscriber)).map(({ name, partitions }) => [name, partitions.length]),
      [["watch", 0]],
    );
  });
});
