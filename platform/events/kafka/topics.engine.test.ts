import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Admin } from "@platformatic/kafka";
import { append, applied, assertExactlyOnce, call, quick, recording, until } from "../test-subscriptions.ts";
import { renamed, RenamedSchema } from "../test-events.ts";
import { openTestKafka } from "./open-test-kafka.ts";
import { partitionOfStream } from "./partition-of-stream.ts";
import { readTopic } from "./test-kafka-topics.ts";

describe("events: on Kafka's topics", () => {
  it("MSG-01, I9: any consumer can read the events, as CloudEvents, keyed by their stream and in its order", async () => {
    const { installation, kafka, topic } = await openTestKafka();
    const { log, publisher, subscribe } = await installation.process();
    for (let version = 0; version < 6; version += 2)
      for (const stream of ["a", "b", "c", "d"]) await append(publisher, log, stream, version, 2);
    await (await subscribe([recording("watch")])).caughtUp();
    const records = await readTopic(kafka, topic);
    assert.equal(records.length, 24);
    for (const stream of ["a", "b", "c", "d"]) {
      const own = records.filter(({ key }) => key === stream);
      assert.deepEqual(
        own.map(({ headers }) => headers["ce_version"]),
        ["1", "2", "3", "4", "5", "6"],
      );
      assert.deepEqual([...new Set(own.map(({ partition }) => partition))], [partitionOfStream(stream, 6)]);
    }
    const [event] = await log.history(publisher, "a");
    const { headers, value } = records.find(({ key }) => key === "a")!;
    const { ce_position: position, ...attributes } = headers;
    assert.match(position!, /^\d+\/\d+\/\d+$/);
    assert.deepEqual(attributes, {
      ce_specversion: "1.0",
      ce_id: event!.id,
      ce_type: "test.thing.counted",
      ce_source: "/kontor/things",
      ce_subject: "a",
      ce_time: event!.at.toISOString(),
      "content-type": "application/protobuf",
      ce_version: "1",
      ce_actor: "things",
      ce_trace: event!.trace,
      ce_correlation: event!.correlation,
      ce_causation: "",
    });
    assert.deepEqual([...value], [16, 1]);
  });

  it("MSG-05: the lag of a subscription can be read from its status and with Kafka's own tools", async () => {
    const { installation, kafka, topic } = await openTestKafka(2);
    const { log, publisher, subscribe } = await installation.process();
    const watching = await subscribe([recording("watch")], quick);
    await append(publisher, log, "a", 0, 40);
    await watching.caughtUp();
    assert.equal((await watching.status())[0]!.lag, 0);
    await append(publisher, log, "a", 40, 1);
    await watching.caughtUp();
    const admin = new Admin({ clientId: "test", bootstrapBrokers: [...kafka.brokers] });
    try {
      const partition = partitionOfStream("a", 2);
      const committed = await until(async () => {
        const [group] = await admin
          .listConsumerGroupOffsets({
            groups: [{ groupId: `${kafka.prefix}.watch`, topics: [{ name: topic, partitionIndexes: [partition] }] }],
          })
          .catch(() => []);
        const offset = group?.topics[0]?.partitions[0]?.committedOffset;
        return offset !== undefined && offset > 0n && offset;
      });
      assert.ok(committed >= 40n && committed <= 41n);
    } finally {
      await admin.close();
    }
  });

  it("an event too large for a record is published without its data, which subscribers read from the log", async () => {
    const { installation, kafka, topic } = await openTestKafka(2);
    const { log, publisher, subscribe } = await installation.process();
    const text = "x".repeat(1_500_000);
    await publisher.transaction((tx) =>
      log.append(tx, call, [{ stream: "a", expectedVersion: 0, events: [renamed("small"), renamed(text), renamed("last")] }]),
    );
    const seen: number[] = [];
    const watching = await subscribe([
      {
        ...recording("watch"),
        schemas: [RenamedSchema],
        apply: async (_, events) => void seen.push(...events.map(({ data }) => (data as { thing?: string }).thing?.length ?? 0)),
      },
    ]);
    await watching.caughtUp();
    assert.deepEqual(seen, [5, text.length, 4]);
    const records = await readTopic(kafka, topic);
    assert.deepEqual(
      records.map(({ value, headers }) => [value.length < 100, headers["ce_dataref"]]),
      [
        [true, undefined],
        [true, "log"],
        [true, undefined],
      ],
    );
  });

  it("a relay sends smaller requests to a topic that refuses large ones", async () => {
    const { installation, kafka, topic } = await openTestKafka(1);
    const admin = new Admin({ clientId: "test", bootstrapBrokers: [...kafka.brokers] });
    await admin.createTopics({ topics: [topic], partitions: 1, replicas: 1, configs: [{ name: "max.message.bytes", value: "20000" }] });
    await admin.close();
    const { log, publisher, subscriber, subscribe } = await installation.process();
    await append(publisher, log, "a", 0, 400);
    await (await subscribe([recording("watch")])).caughtUp();
    await assertExactlyOnce(publisher, subscriber, "watch");
  });

  it("I8: a topic that was lost is created and filled again, and nothing is applied twice", async () => {
    const { installation, kafka, topic } = await openTestKafka(3);
    const { log, publisher, subscriber, subscribe } = await installation.process();
    const watching = await subscribe([recording("watch")]);
    for (const stream of ["a", "b", "c"]) await append(publisher, log, stream, 0, 4);
    await watching.caughtUp();
    const admin = new Admin({ clientId: "test", bootstrapBrokers: [...kafka.brokers] });
    await admin.deleteTopics({ topics: [topic] });
    await admin.close();
    for (const stream of ["a", "b", "c"]) await append(publisher, log, stream, 4, 2);
    await applied(subscriber, "watch", 18);
    await watching.caughtUp();
    await assertExactlyOnce(publisher, subscriber, "watch");
    const ids = (await readTopic(kafka, topic)).map(({ headers }) => headers["ce_id"]);
    assert.equal(new Set(ids).size, 18);
  });

  it("CON-02: a new projection is built from the topic's beginning", async () => {
    const { installation } = await openTestKafka();
    const { log, publisher, subscriber, subscribe } = await installation.process();
    const first = await subscribe([recording("watch")]);
    for (let version = 0; version < 10; version++) await append(publisher, log, `s${version % 4}`, Math.floor(version / 4), 1);
    await first.caughtUp();
    const later = await subscribe([recording("later")]);
    await later.caughtUp();
    await assertExactlyOnce(publisher, subscriber, "later");
    await assertExactlyOnce(publisher, subscriber, "watch");
  });
});
