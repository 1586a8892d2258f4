import { describe, it } from "node:test";
import { sql } from "../../database/sql.ts";
import { eventsContract } from "../events.contract.ts";
import { leaseChannel } from "../subscriptions/lease-store.ts";
import { append, applied, assertExactlyOnce, countFrom, quick, recording, until } from "../test-subscriptions.ts";
import { openTestKafka } from "./open-test-kafka.ts";

eventsContract("Kafka", async () => (await openTestKafka()).installation, { crashes: countFrom("KONTOR_EVENT_CRASHES", 20) });

describe("events: the replicas of a subscriber on Kafka", () => {
  it("SCA-02: share the partitions fairly, and those of a replica that stops are taken by the others at once", async () => {
    const { installation } = await openTestKafka(6);
    const [one, two] = [await installation.process(), await installation.process()];
    const names = ["watch", "count"];
    const first = await one.subscribe(names.map((name) => recording(name)));
    const holders = async () => {
      const rows = await one.subscriber.rows<{ name: string; owner: string; count: number }>(sql`
        select split_part(name, '#', 1) as name, lease_owner as owner, count(*)::int as count from subscriptions
        where partitions = 0 and lease_owner is not null group by 1, 2`);
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

  it("R18, I8, I9: everything delivered again and again while the leases move loses no event and applies none twice", async () => {
    const { installation } = await openTestKafka(4);
    const [one, two] = [await installation.process(), await installation.process()];
    const watching = [await one.subscribe([recording("watch")], quick), await two.subscribe([recording("watch")], quick)];
    const versions = new Map<string, number>();
    let events = 0;
    for (let round = 0; round < countFrom("KONTOR_EVENT_REPEATS", 5); round++) {
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
      // The relay's checkpoint is set back to the beginning: it publishes the whole log once more.
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
