import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import type { Database } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import { counted } from "../test-events.ts";
import type { Counted } from "../test-events.ts";
import { append, applied, assertExactlyOnce, call, effectsOf, gate, quick, recording, until } from "../test-subscriptions.ts";
import type { EventsInstallation } from "../test-subscriptions.ts";
import { listParked, replayParked, skipParked } from "./parked.ts";

/** An event that cannot be applied is parked with its stream, tried again, and stays for an operator to replay or skip. */
export function parkedContract(open: () => Promise<EventsInstallation>): void {
  it("MSG-07: a handler that fails twice and then succeeds has its effect once, after the backoff", async () => {
    const installation = await open();
    const { log, publisher, subscriber, subscribe } = await installation.process();
    const triedAt: number[] = [];
    const failing = recording("watch", async () => {
      triedAt.push(installation.clock.now().getTime());
      if (triedAt.length <= 2) throw new Error("not yet");
    });
    const watching = await subscribe([failing], quick);
    await append(publisher, log, "a", 0, 1);
    await watching.caughtUp();
    for (const attempts of [1, 2]) {
      const [parked] = await until(async () => {
        const rows = await listParked(subscriber);
        return rows[0]?.attempts === attempts && rows;
      });
      assert.match(parked!.cause, /not yet/);
      const waitMs = parked!.nextAttemptAt!.getTime() - installation.clock.now().getTime();
      assert.ok(waitMs >= attempts * 800 && waitMs <= attempts * 1_200, `waits ${waitMs} ms`);
      installation.clock.set(parked!.nextAttemptAt!);
    }
    await applied(subscriber, "watch", 1);
    assert.equal(triedAt.length, 3);
    assert.deepEqual(await listParked(subscriber), []);
    await assertExactlyOnce(publisher, subscriber, "watch");
  });

  it("MSG-06: a poison message is parked with its cause and its stream, other streams go on, and a replay applies all that is parked", async () => {
    const installation = await open();
    const { log, publisher, subscriber, subscribe } = await installation.process();
    let broken = true;
    const picky = recording("watch", async (_, events) => {
      if (broken && events.some(({ data }) => (data as Counted).amount === 2)) throw new Error("cannot digest");
    });
    const watching = await subscribe([picky], quick);
    await append(publisher, log, "bad", 0, 4);
    await append(publisher, log, "good", 0, 1);
    await publisher.transaction((tx) =>
      log.append(tx, call, [
        { stream: "good", expectedVersion: 1, events: [counted(7)] },
        { stream: "bad", expectedVersion: 4, events: [counted(5)] },
      ]),
    );
    await watching.caughtUp();
    assert.deepEqual(await effectsOf(subscriber), ["bad 1", "good 1", "good 2"]);
    assert.deepEqual(
      (await listParked(subscriber)).map(({ stream, version, attempts, cause }) => [stream, version, attempts, cause]),
      [
        ["bad", 2, 1, "Error: cannot digest"],
        ["bad", 3, 0, ""],
        ["bad", 4, 0, ""],
        ["bad", 5, 0, ""],
      ],
    );

    for (let attempts = 2; attempts <= 5; attempts++) {
      installation.clock.advance(60_000);
      await until(async () => (await listParked(subscriber))[0]?.attempts === attempts);
    }
    assert.equal((await listParked(subscriber))[0]?.nextAttemptAt, null);
    installation.clock.advance(3_600_000);
    await append(publisher, log, "bad", 5, 1);
    await watching.caughtUp();
    assert.deepEqual(
      (await listParked(subscriber)).map(({ attempts }) => attempts),
      [5, 0, 0, 0, 0],
    );

    broken = false;
    assert.equal(await replayParked(subscriber, { ids: [(await listParked(subscriber))[0]!.id] }), 5);
    await applied(subscriber, "watch", 8);
    assert.deepEqual(await listParked(subscriber), []);
    assert.equal(await replayParked(subscriber), 0);
    await append(publisher, log, "bad", 6, 1);
    await watching.caughtUp();
    await assertExactlyOnce(publisher, subscriber, "watch");
  });

  it("DEV-07, I9: whatever is written at once and whatever fails, each stream's events are applied in its order, each once", async () => {
    const { log, publisher, subscriber, subscribe } = await (await open()).process();
    const failing = new Set<string>();
    const watching = await subscribe(
      [
        recording("watch", async (_, events) => {
          if (events.some(({ stream, version }) => failing.has(`${stream} ${version}`))) throw new Error("not now");
        }),
      ],
      quick,
    );
    const writes = fc.array(fc.record({ stream: fc.nat(3), count: fc.integer({ min: 1, max: 4 }) }), { minLength: 1, maxLength: 15 });
    const failures = fc.array(fc.record({ stream: fc.nat(3), version: fc.integer({ min: 1, max: 10 }) }), { maxLength: 3 });
    // First of all one that parks events over the step from one digit to two in the log's positions.
    const examples: [{ stream: number; count: number }[], { stream: number; version: number }[]][] = [
      [[4, 4, 4].map((count) => ({ stream: 0, count })), [{ stream: 0, version: 8 }]],
    ];
    let [round, written] = [0, 0];
    await fc.assert(
      fc.asyncProperty(writes, failures, async (appended, bad) => {
        round++;
        for (const { stream, version } of bad) failing.add(`${round}-${stream} ${version}`);
        // The streams are written side by side, each in its order.
        await Promise.all(
          Map.groupBy(appended, ({ stream }) => stream)
            .values()
            .map(async (appends) => {
              for (let [at, version] = [0, 0]; at < appends.length; version += appends[at++]!.count)
                await append(publisher, log, `${round}-${appends[at]!.stream}`, version, appends[at]!.count);
            }),
        );
        written += appended.reduce((sum, { count }) => sum + count, 0);
        await watching.caughtUp();
        failing.clear();
        await replayParked(subscriber);
        await applied(subscriber, "watch", written);
        await assertExactlyOnce(publisher, subscriber, "watch");
      }),
      { numRuns: 15, examples },
    );
  });

  it("MSG-06: an event that cannot be decoded is parked, and skipping it lets its stream go on", async () => {
    const { log, publisher, subscriber, subscribe } = await (await open()).process();
    const watching = await subscribe([recording("watch")], quick);
    await append(publisher, log, "a", 0, 1);
    await appendUndecodable(publisher, "a", 2);
    await append(publisher, log, "a", 2, 2);
    await append(publisher, log, "b", 0, 1);
    await watching.caughtUp();
    assert.deepEqual(await effectsOf(subscriber), ["a 1", "b 1"]);
    const [poison] = await listParked(subscriber);
    assert.match(poison!.cause, /test\.thing\.counted cannot be read/);
    assert.equal(await skipParked(subscriber, { subscription: "watch", ids: [poison!.id] }), 1);
    await applied(subscriber, "watch", 4);
    const [status] = await watching.status();
    assert.deepEqual([status?.applied, status?.parked, status?.skipped], [4, 0, 1]);
    assert.deepEqual(await effectsOf(subscriber), ["a 1", "a 3", "a 4", "b 1"]);
  });

  it("an operator who skips an event during its retry wins: it is skipped and has no effect", async () => {
    const installation = await open();
    const { log, publisher, subscriber, subscribe } = await installation.process();
    const [entered, released] = [gate(), gate()];
    let tries = 0;
    const failing = recording("watch", async () => {
      if (++tries === 1) throw new Error("not yet");
      if (tries > 2) return;
      entered.open();
      await released.passed;
    });
    const watching = await subscribe([failing], quick);
    await append(publisher, log, "a", 0, 1);
    await watching.caughtUp();
    installation.clock.advance(60_000);
    await entered.passed;
    assert.equal(await skipParked(subscriber, { stream: "a" }), 1);
    released.open();
    await append(publisher, log, "a", 1, 1);
    await applied(subscriber, "watch", 1);
    assert.deepEqual(await effectsOf(subscriber), ["a 2"]);
    assert.equal((await watching.status())[0]?.skipped, 1);
  });

  it("parked events survive a restart", async () => {
    const { log, publisher, subscriber, subscribe } = await (await open()).process();
    let broken = true;
    const failing = recording("watch", async (_, events) => {
      if (broken && events[0]!.stream === "a") throw new Error("broken");
    });
    const before = await subscribe([failing], quick);
    await append(publisher, log, "a", 0, 1);
    await before.caughtUp();
    await before.stop();
    assert.equal(await replayParked(subscriber, { stream: "a" }), 1);
    await append(publisher, log, "a", 1, 2);
    broken = false;
    const after = await subscribe([failing], quick);
    await after.caughtUp();
    await applied(subscriber, "watch", 3);
    await assertExactlyOnce(publisher, subscriber, "watch");
  });
}

/** Records an event whose data cannot be decoded, as a defective publisher would. */
async function appendUndecodable(publisher: Database, stream: string, version: number): Promise<void> {
  await publisher.run(sql`
    insert into events (epoch, xid, id, stream, version, type, data, actor, trace, correlation, causation, at)
    select epoch, pg_current_xact_id(), 'evt_garbage', ${stream}, ${version}, 'test.thing.counted', '\\xffff', 'x', '', '', '', now() from log_epoch`);
}
