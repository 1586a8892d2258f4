import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Admin, Producer } from "@platformatic/kafka";
import { sql } from "../../database/sql.ts";
import { rootCall } from "../../call/call.ts";
import { append, applied, assertExactlyOnce, effectsOf, eventsContract, recording, until } from "../events.contract.ts";
import type { ChildOrders } from "./test-kafka-crash.ts";
import { createKafkaEvents } from "./kafka-events.ts";
import { readTopic, testKafka } from "./test-kafka-topics.ts";
import { openTestApp } from "../open-test-app.ts";
import type { TestApp } from "../open-test-app.ts";
import { listParked, replayParked } from "../subscriptions/parked.ts";
import { partOfStream } from "../subscriptions/partition-name.ts";
import { leaseChannel, subscriptionRows } from "../subscriptions/subscription-store.ts";
import { renamed, RenamedSchema } from "../test-events.ts";

const count = (name: string, plain: number): number => Number(process.env[name] ?? plain);
const call = rootCall({ caller: "things", timeoutMs: 60_000 });
const quick = { lingerMs: 0, pauseMs: 0, pollMs: 60_000 };

eventsContract("Kafka", async () => (await openKafkaApp()).app, { crashes: count("KONTOR_EVENT_CRASHES", 20) });

async function openKafkaApp(partitions?: number) {
  const kafka = testKafka("ENGINE_KAFKA", partitions === undefined ? {} : { partitions });
  const app: TestApp = await openTestApp({ broker: (log) => createKafkaEvents({ ...kafka, log }) });
  const topic = `${kafka.prefix}.things`;
  return { kafka, app, topic, parked: `${kafka.prefix}.watchers.parked` };
}

describe("events: on Kafka's topics", () => {
  it("MSG-01, I9: events are there for everybody, as CloudEvents, keyed by their stream and in its order", async () => {
    const { app, kafka, topic } = await openKafkaApp();
    const { log, publisher, subscribe } = await app.process();
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
      assert.deepEqual([...new Set(own.map(({ partition }) => partition))], [partOfStream(stream, 6)]);
    }
    const [event] = await log.history(publisher, "a");
    const { headers, value } = records.find(({ key }) => key === "a")!;
    const { ce_place: place, ...attributes } = headers;
    assert.match(place!, /^\d+\/\d+\/\d+$/);
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

  it("MSG-05: how far a subscription is behind can be seen, here and with Kafka's own tools", async () => {
    const { app, kafka, topic } = await openKafkaApp(2);
    const { log, publisher, subscribe } = await app.process();
    const watching = await subscribe([recording("watch")], quick);
    await append(publisher, log, "a", 0, 40);
    await watching.caughtUp();
    assert.equal((await watching.status())[0]!.lag, 0);
    await append(publisher, log, "a", 40, 1);
    await watching.caughtUp();
    const admin = new Admin({ clientId: "test", bootstrapBrokers: [...kafka.brokers] });
    try {
      const part = partOfStream("a", 2);
      const noted = await until(async () => {
        const [group] = await admin
          .listConsumerGroupOffsets({ groups: [{ groupId: `${kafka.prefix}.watch`, topics: [{ name: topic, partitionIndexes: [part] }] }] })
          .catch(() => []);
        const offset = group?.topics[0]?.partitions[0]?.committedOffset;
        return offset !== undefined && offset > 0n && offset;
      });
      assert.ok(noted >= 40n && noted <= 41n);
    } finally {
      await admin.close();
    }
  });

  it("R17, MSG-06: records that are no events are put aside with their cause, and the rest flow on", async () => {
    const { app, kafka, topic, parked } = await openKafkaApp(1);
    const { log, publisher, subscriber, subscribe } = await app.process();
    const watching = await subscribe([recording("watch")]);
    await append(publisher, log, "a", 0, 1);
    await watching.caughtUp();
    const producer = new Producer({ clientId: "test", bootstrapBrokers: [...kafka.brokers], acks: -1 });
    const headers = (more: Record<string, string>) =>
      new Map(Object.entries(more).map(([name, text]) => [Buffer.from(name), Buffer.from(text)]));
    const sound = { ce_specversion: "1.0", ce_place: "1/1/1", ce_type: "test.thing.counted", ce_id: "evt_x", ce_version: "1" };
    const poison: [string, Record<string, string>, RegExp][] = [
      ["p1", {}, /no place/],
      ["p2", { ...sound, ce_place: "1/x/3" }, /no place/],
      ["p3", { ...sound, ce_specversion: "2.0" }, /CloudEvent of version 1.0/],
      ["p4", { ...sound, ce_version: "zero" }, /no version/],
      ["p5", { ce_place: "1/1/1", ce_specversion: "1.0" }, /no type/],
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
    const aside = await readTopic(kafka, parked);
    assert.deepEqual(
      aside.map(({ key }) => key),
      poison.map(([key]) => key),
    );
    for (const [nth, [, , fault]] of poison.entries()) {
      assert.match(aside[nth]!.headers["kontor_cause"]!, fault);
      assert.deepEqual([aside[nth]!.headers["kontor_subscription"], aside[nth]!.headers["kontor_topic"]], ["watch", topic]);
    }
    assert.deepEqual(await listParked(subscriber), []);
    await assertExactlyOnce(publisher, subscriber, "watch");
  });

  it("R17, MSG-06: an event that always fails is a dead letter when it parks, and again when it is given up", async () => {
    const { app, kafka, parked } = await openKafkaApp(3);
    const { log, publisher, subscriber, subscribe } = await app.process();
    const failing = recording("watch", async (_, events) => {
      if (events.some(({ stream }) => stream === "bad")) throw new Error("cannot digest");
    });
    const watching = await subscribe([failing], quick);
    await append(publisher, log, "bad", 0, 2);
    await append(publisher, log, "good", 0, 2);
    await watching.caughtUp();
    for (let attempts = 2; attempts <= 5; attempts++) {
      app.clock.advance(60_000);
      await until(async () => (await listParked(subscriber, { subscription: "watch" }))[0]?.attempts === attempts);
    }
    assert.deepEqual(
      (await listParked(subscriber)).map(({ subscription, version, attempts }) => [subscription, version, attempts]),
      [
        ["watch", 1, 5],
        ["watch", 2, 0],
      ],
    );
    const letters = await until(async () => {
      const found = await readTopic(kafka, parked);
      return found.length >= 2 && found;
    });
    assert.deepEqual(
      letters.map(({ key, headers }) => [
        key,
        headers["ce_version"],
        headers["kontor_attempts"],
        headers["kontor_given_up"],
        headers["kontor_cause"],
      ]),
      [
        ["bad", "1", "1", "false", "Error: cannot digest"],
        ["bad", "1", "5", "true", "Error: cannot digest"],
      ],
    );
    assert.deepEqual(await effectsOf(subscriber), ["good 1", "good 2"]);
  });

  it("an event too large for a record is carried without its data, which its readers fetch", async () => {
    const { app, kafka, topic } = await openKafkaApp(2);
    const { log, publisher, subscribe } = await app.process();
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

  it("a topic that takes only small requests is served with those", async () => {
    const { app, kafka, topic } = await openKafkaApp(1);
    const admin = new Admin({ clientId: "test", bootstrapBrokers: [...kafka.brokers] });
    await admin.createTopics({ topics: [topic], partitions: 1, replicas: 1, configs: [{ name: "max.message.bytes", value: "20000" }] });
    await admin.close();
    const { log, publisher, subscriber, subscribe } = await app.process();
    await append(publisher, log, "a", 0, 400);
    await (await subscribe([recording("watch")])).caughtUp();
    await assertExactlyOnce(publisher, subscriber, "watch");
  });

  it("I8: a topic that was lost is made and filled anew, and nothing is applied again", async () => {
    const { app, kafka, topic } = await openKafkaApp(3);
    const { log, publisher, subscriber, subscribe } = await app.process();
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
    const { app } = await openKafkaApp();
    const { log, publisher, subscriber, subscribe } = await app.process();
    const first = await subscribe([recording("watch")]);
    for (let version = 0; version < 10; version++) await append(publisher, log, `s${version % 4}`, Math.floor(version / 4), 1);
    await first.caughtUp();
    const later = await subscribe([recording("later")]);
    await later.caughtUp();
    await assertExactlyOnce(publisher, subscriber, "later");
    await assertExactlyOnce(publisher, subscriber, "watch");
  });
});

describe("events: the replicas of a subscriber on Kafka", () => {
  it("SCA-02: share the parts about equally, and one that stops leaves its parts to the others at once", async () => {
    const { app } = await openKafkaApp(6);
    const [one, two] = [await app.process(), await app.process()];
    const names = ["watch", "count"];
    const first = await one.subscribe(names.map((name) => recording(name)));
    const holders = async () => {
      const rows = await one.subscriber.rows<{ name: string; owner: string; count: number }>(sql`
        select split_part(name, '#', 1) as name, lease_owner as owner, count(*)::int as count from subscriptions
        where parts = 0 and lease_owner is not null group by 1, 2`);
      return rows.map((row) => `${row.name} ${row.count}`).toSorted();
    };
    await until(async () => (await holders()).join() === "count 6,watch 6");
    const second = await two.subscribe(names.map((name) => recording(name)));
    await until(async () => (await holders()).join() === "count 3,count 3,watch 3,watch 3");
    for (let version = 0; version < 30; version++) await append(one.publisher, one.log, `s${version % 10}`, Math.floor(version / 10), 1);
    await Promise.all([first.caughtUp(), second.caughtUp()]);
    await second.stop();
    await until(async () => (await holders()).join() === "count 6,watch 6");
    await append(one.publisher, one.log, "s0", 3, 5);
    await first.caughtUp();
    for (const name of names) await assertExactlyOnce(one.publisher, one.subscriber, name);
  });

  it("R18, I8, I9: everything delivered again and again while the leases move costs no event and doubles none", async () => {
    const { app } = await openKafkaApp(4);
    const [one, two] = [await app.process(), await app.process()];
    const watching = [await one.subscribe([recording("watch")], quick), await two.subscribe([recording("watch")], quick)];
    const versions = new Map<string, number>();
    let events = 0;
    for (let round = 0; round < count("KONTOR_EVENT_REPEATS", 5); round++) {
      for (let nth = 0; nth < 40; nth++) {
        const stream = `s${(nth * 7) % 13}`;
        const version = versions.get(stream) ?? 0;
        await append(one.publisher, nth % 2 === 0 ? one.log : two.log, stream, version, 2, nth % 2 === 0 ? one : two);
        versions.set(stream, version + 2);
        events += 2;
        if (nth % 8 !== 0) continue;
        await one.subscriber.run(sql`
          update subscriptions set fence = fence + 1, lease_owner = null, lease_until = null where name like 'watch#%' and random() < 0.4`);
        await one.subscriber.notify(leaseChannel);
      }
      // The relay finds itself at the beginning again, and publishes the whole log once more.
      await one.publisher.run(sql`
        update subscriptions set fence = fence + 1, lease_owner = null, lease_until = null, epoch = 0, xid = '0', position = 0
        where name = 'kontor.relay'`);
      await one.publisher.notify(leaseChannel);
    }
    await Promise.all(watching.map((each) => each.caughtUp()));
    await applied(one.subscriber, "watch", events);
    await assertExactlyOnce(one.publisher, one.subscriber, "watch");
  });
});

describe("events: a process that dies, on Kafka", () => {
  const places = ["after commit", "after publishing", "after handling", "any time"] as const;
  it("MSG-09, I8, I9: kill -9 between commit and publishing, and between handling and the place, costs no event and doubles none", async () => {
    const { app, kafka } = await openKafkaApp(3);
    for (let crash = 0; crash < count("KONTOR_EVENT_KILLS", 4); crash++) {
      const dies = places[crash % places.length]!;
      const after = 1 + Math.floor(Math.random() * 25);
      await childThatDies({ kafka, connections: app.connections, writer: `w${crash}`, dies, after });
    }
    const shop = await app.process();
    const watching = await shop.subscribe([recording("watch")], quick);
    await watching.caughtUp();
    await assertExactlyOnce(shop.publisher, shop.subscriber, "watch");
    assert.ok((await effectsOf(shop.subscriber)).length > 0);
  });
});

/** Runs a shop in a process of its own until it is dead: by its own hand, or by ours a little after it began to work. */
async function childThatDies(orders: ChildOrders): Promise<void> {
  const file = new URL("test-kafka-crash.ts", import.meta.url);
  const child = spawn(process.execPath, [fileURLToPath(file), JSON.stringify(orders)], { stdio: ["ignore", "pipe", "inherit"] });
  const dead = once(child, "exit");
  if (orders.dies === "any time") {
    await Promise.race([once(child.stdout, "data"), dead]);
    await sleep(Math.random() * 300);
    child.kill("SIGKILL");
  }
  assert.deepEqual(await dead, [null, "SIGKILL"]);
}

describe("events: moving to Kafka and back", () => {
  it("goes on where it was, with what is parked, and nothing is applied again", async () => {
    const { app } = await openKafkaApp(3);
    let broken = true;
    const picky = recording("watch", async (_, events) => {
      if (broken && events.some(({ stream }) => stream === "b")) throw new Error("not now");
    });
    const streams = ["a", "b", "c", "d"];
    const round = async (version: number, other?: object) => {
      const shop = await app.process(other);
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
    const shop = await app.process();
    const watching = await shop.subscribe([picky], quick);
    await replayParked(shop.subscriber);
    await applied(shop.subscriber, "watch", 40);
    await watching.caughtUp();
    await assertExactlyOnce(shop.publisher, shop.subscriber, "watch");
  });

  it("refuses to go back while a part has not applied what was relayed, and says what to do", async () => {
    const { app } = await openKafkaApp(2);
    const shop = await app.process();
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
    const plain = await app.process({});
    await assert.rejects(plain.subscribe([recording("watch")], quick), /watch has been reading its events from a broker.*KONTOR_EVENTS/);
  });

  it("R10: with Kafka away at the start the shop starts and its log grows; whoever waits for events can stop", async () => {
    const app = await openTestApp({ broker: (log) => createKafkaEvents({ brokers: ["127.0.0.1:1"], log }) });
    const shop = await app.process();
    const watching = await shop.subscribe([recording("watch")], quick);
    await append(shop.publisher, shop.log, "a", 0, 3);
    const [status] = await watching.status();
    assert.deepEqual([status!.applied, status!.lag], [0, 3]);
    const stoppedMs = performance.now();
    await shop.stop();
    assert.ok(performance.now() - stoppedMs < 3_000);
    assert.deepEqual(
      (await subscriptionRows(shop.subscriber)).map(({ name, parts }) => [name, parts.length]),
      [["watch", 0]],
    );
  });
});
