import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Producer } from "@platformatic/kafka";
import { listParked } from "../subscriptions/parked.ts";
import { append, applied, assertExactlyOnce, effectsOf, quick, recording, until } from "../test-subscriptions.ts";
import { openTestKafka } from "./open-test-kafka.ts";
import { readTopic } from "./test-kafka-topics.ts";

describe("events: dead letters on Kafka", () => {
  it("R17, MSG-06: records that are not events are moved to the dead letters with their cause, and events go on", async () => {
    const { installation, kafka, topic, parkedTopic } = await openTestKafka(1);
    const { log, publisher, subscriber, subscribe } = await installation.process();
    const watching = await subscribe([recording("watch")]);
    await append(publisher, log, "a", 0, 1);
    await watching.caughtUp();
    const producer = new Producer({ clientId: "test", bootstrapBrokers: [...kafka.brokers], acks: -1 });
    const headers = (more: Record<string, string>) =>
      new Map(Object.entries(more).map(([name, text]) => [Buffer.from(name), Buffer.from(text)]));
    const valid = { ce_specversion: "1.0", ce_position: "1/1/1", ce_type: "test.thing.counted", ce_id: "evt_x", ce_version: "1" };
    const poison: [string, Record<string, string>, RegExp][] = [
      ["p1", {}, /no position/],
      ["p2", { ...valid, ce_position: "1/x/3" }, /no position/],
      ["p3", { ...valid, ce_specversion: "2.0" }, /CloudEvent of version 1.0/],
      ["p4", { ...valid, ce_version: "zero" }, /no version/],
      ["p5", { ce_position: "1/1/1", ce_specversion: "1.0" }, /no type/],
    ];
    await producer.send({
      messages: poison.map(([key, more]) => ({
        topic,
        partition: 0,
        key: Buffer.from(key),
        value: Buffer.from("?"),
        headers: headers(more),
      })),
    });
    await producer.close();
    const sentMs = performance.now();
    await append(publisher, log, "a", 1, 2);
    await applied(subscriber, "watch", 3);
    assert.ok(performance.now() - sentMs < 2_000);
    await watching.caughtUp();
    const letters = await readTopic(kafka, parkedTopic);
    assert.deepEqual(
      letters.map(({ key }) => key),
      poison.map(([key]) => key),
    );
    for (const [nth, [, , fault]] of poison.entries()) {
      assert.match(letters[nth]!.headers["kontor_cause"]!, fault);
      assert.deepEqual([letters[nth]!.headers["kontor_subscription"], letters[nth]!.headers["kontor_topic"]], ["watch", topic]);
    }
    assert.deepEqual(await listParked(subscriber), []);
    await assertExactlyOnce(publisher, subscriber, "watch");
  });

  it("R17, MSG-06: an event that always fails is a dead letter when it is parked, and again when its attempts are used up", async () => {
    const { installation, kafka, parkedTopic } = await openTestKafka(3);
    const { log, publisher, subscriber, subscribe } = await installation.process();
    const failing = recording("watch", async (_, events) => {
      if (events.some(({ stream }) => stream === "bad")) throw new Error("cannot digest");
    });
    const watching = await subscribe([failing], quick);
    await append(publisher, log, "bad", 0, 2);
    await append(publisher, log, "good", 0, 2);
    await watching.caughtUp();
    const lettersOnTopic = (count: number) =>
      until(async () => {
        const found = await readTopic(kafka, parkedTopic);
        return found.length >= count && found;
      });
    // The first letter is sent before the attempts go on: a slow broker would get only the last one otherwise.
    await lettersOnTopic(1);
    for (let attempts = 2; attempts <= 5; attempts++) {
      installation.clock.advance(60_000);
      await until(async () => (await listParked(subscriber, { subscription: "watch" }))[0]?.attempts === attempts);
    }
    assert.deepEqual(
      (await listParked(subscriber)).map(({ subscription, version, attempts }) => [subscription, version, attempts]),
      [
        ["watch", 1, 5],
        ["watch", 2, 0],
      ],
    );
    const letters = await lettersOnTopic(2);
    assert.deepEqual(
      letters.map(({ key, headers }) => [
        key,
        headers["ce_version"],
        headers["kontor_attempts"],
        headers["kontor_attempts_exhausted"],
        headers["kontor_cause"],
      ]),
      [
        ["bad", "1", "1", "false", "Error: cannot digest"],
        ["bad", "1", "5", "true", "Error: cannot digest"],
      ],
    );
    assert.deepEqual(await effectsOf(subscriber), ["good 1", "good 2"]);
  });
});
