import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { before, describe, it } from "node:test";
import { rootCall } from "../call/call.ts";
import type { Call } from "../call/call.ts";
import type { Connection } from "../database/connection.ts";
import { openTestDatabase } from "../database/open-test-database.ts";
import { sql } from "../database/sql.ts";
import { refusalIn } from "../errors/refusal.ts";
import type { PostgresDatabase } from "../database/postgres.ts";
import type { Logger } from "../telemetry/logger.ts";
import { testDatabase } from "../testing/postgres.ts";
import { openLossyWay } from "../database/test-lossy-way.ts";
import type { LossyWay } from "../database/test-lossy-way.ts";
import { interfere } from "./test-interference.ts";
import type { Interference, Written } from "./test-interference.ts";

/** A command that is executed in batches, in two processes over one database. */
export interface BatchedCommand {
  /** Runs it under a key, in one of the processes; gives the reply as its caller sees it. */
  run(process: number, key: string, call: Call): Promise<string>;
  /** How often its effect has come under this key. */
  effects(key: string): Promise<number>;
  /** What must be there before it can run under these keys. */
  prepare?(keys: readonly string[]): Promise<void>;
  /** What must hold of everything in the end. */
  check?(): Promise<void>;
}

export interface BatchedCommandOptions {
  /** Opens both processes, each with its connection; it makes the tables. What is logged is about the faults of this suite. */
  readonly open: (connections: readonly [Connection, Connection], log: Logger) => Promise<BatchedCommand>;
  /** A key by its number. */
  readonly keyOf: (nth: number) => string;
  /** The table that an effect writes first, where two could wait for each other, and its column that has the key. */
  readonly written: Written;
  /** When an effect is an event in the stream of its key: how many there are after `prepare` and an effect. */
  readonly events?: number;
  /** When an effect has a task: how many are there for a key after an effect. */
  readonly tasks?: (database: PostgresDatabase, key: string) => Promise<number>;
}

const both = [0, 1] as const;
const kills = Number(process.env["KONTOR_KILLS"] ?? 6);
const nothing = () => undefined;
const silent: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => silent };

/** What must hold for every command that is executed in batches, whatever becomes of them. */
export function batchedCommandContract(name: string, options: BatchedCommandOptions): void {
  describe(`in batches: ${name}`, () => {
    let command: BatchedCommand;
    let observer: PostgresDatabase;
    let others: Interference;
    let way: LossyWay;
    let made = 0;

    before(async () => {
      const { connection } = await testDatabase();
      observer = (await openTestDatabase({ name: "observer", connection })).database;
      // As with large tables: rows are reached, and locked, in the order in which a statement names them.
      for (const plan of ["enable_hashjoin", "enable_mergejoin", "enable_seqscan"])
        await observer.run(sql`alter database ${sql.name(connection.database)} set ${sql.name(plan)} = off`);
      way = await openLossyWay(connection);
      command = await options.open([way.connection, connection], silent);
      others = await interfere(observer, connection, options.written);
    });

    /** New keys, prepared. */
    async function newKeys(count: number): Promise<string[]> {
      const keys = Array.from({ length: count }, () => options.keyOf(++made));
      await command.prepare?.(keys);
      return keys;
    }

    const call = () => rootCall({ caller: "test", timeoutMs: 10_000 });
    const runAll = (process: number, keys: readonly string[]) => Promise.all(keys.map((key) => command.run(process, key, call())));
    const isUnknown = (error: unknown) => ["unavailable", "deadline_exceeded"].includes(refusalIn(error)?.code ?? "");

    /** Asks again, under the same key, as long as the outcome is unknown. Gives how often it was, too. */
    async function insist(process: number, key: string): Promise<{ readonly reply: string; readonly unknown: number }> {
      for (let unknown = 0; ; unknown++)
        try {
          return { reply: await command.run(process, key, call()), unknown };
        } catch (error) {
          if (!isUnknown(error) || unknown === 1_000) throw error;
        }
    }

    /** Each has its effect once, with its event and its task; whoever asks gets the reply that was given. */
    async function assertOnce(keys: readonly string[], replies: readonly string[]): Promise<void> {
      for (const process of both) assert.deepEqual(await runAll(process, keys), replies, "repeated, each gets the same");
      assert.deepEqual(
        await Promise.all(keys.map((key) => command.effects(key))),
        keys.map(() => 1),
      );
      await assertRecorded(keys);
    }

    async function assertRecorded(keys: readonly string[]): Promise<void> {
      if (options.events !== undefined) {
        const rows = await observer.rows<{ stream: string; versions: number[] }>(
          sql`select stream, array_agg(version order by epoch, xid, position) as versions from events
            where stream = any(${keys}::text[]) group by stream`,
        );
        const versions = Array.from({ length: options.events }, (_, at) => at + 1);
        assert.deepEqual(new Map(rows.map((row) => [row.stream, row.versions])), new Map(keys.map((key) => [key, versions])));
      }
      const { tasks } = options;
      if (tasks !== undefined)
        assert.deepEqual(
          await Promise.all(keys.map((key) => tasks(observer, key))),
          keys.map(() => 1),
        );
    }

    it("many at once share statements and commits", async () => {
      const keys = await newKeys(200);
      const before = await others.statements();
      const replies = await runAll(0, keys);
      const statements = (await others.statements()) - before;
      const commits = await others.commits(keys);
      assert.ok(commits <= 10 && statements <= 10, `${statements} statements and ${commits} commits for ${keys.length}`);
      await assertOnce(keys, replies);
    });

    it("the same key many times at once and later, in one process and in two, has one effect and one reply", async () => {
      const keys = await newKeys(3);
      const replies = await Promise.all(
        keys.map((key) =>
          runAll(
            0,
            Array.from({ length: 20 }, () => key),
          ),
        ),
      );
      const shared = await newKeys(3);
      const twice = await Promise.all(
        shared.map(async (key) =>
          (
            await Promise.all(
              both.map((process) =>
                runAll(
                  process,
                  Array.from({ length: 10 }, () => key),
                ),
              ),
            )
          ).flat(),
        ),
      );
      for (const same of [...replies, ...twice]) assert.equal(new Set(same).size, 1);
      await assertOnce(
        [...keys, ...shared],
        [...replies, ...twice].map(([reply]) => reply!),
      );
    });

    it("two processes that run overlapping keys in opposite orders do not wait for each other, and lose none", async () => {
      for (let round = 0; round < 4; round++) {
        const keys = await newKeys(60);
        // Each has written what comes before it when it stops at the one in the middle.
        const release = await others.hold(keys[30]!);
        const forth = runAll(0, keys.slice(0, 40));
        const back = runAll(1, keys.slice(20).toReversed());
        await others.blocked(2);
        await release();
        const [first, last] = [await forth, (await back).toReversed()];
        assert.deepEqual(first.slice(20), last.slice(0, 20));
        await assertOnce(keys, [...first, ...last.slice(20)]);
      }
    });

    it("one that fails does not fail its neighbours, nor itself when repeated", async () => {
      const keys = await newKeys(30);
      const allow = await others.refuse(keys[17]!);
      const results = await Promise.allSettled(keys.map((key) => command.run(0, key, call())));
      assert.deepEqual(
        results.flatMap(({ status }, nth) => (status === "rejected" ? [nth] : [])),
        [17],
      );
      assert.equal(await command.effects(keys[17]!), 0);
      await allow();
      const late = await command.run(1, keys[17]!, call());
      await assertOnce(
        keys,
        results.map((result) => (result.status === "fulfilled" ? result.value : late)),
      );
    });

    it("those behind one whose row somebody has locked get through, and it does when the lock is released", async () => {
      const [locked, ...rest] = (await newKeys(12)) as [string, ...string[]];
      const release = await others.hold(locked);
      const first = command.run(0, locked, call());
      await others.blocked(1);
      const elsewhere = command.run(1, locked, call());
      const replies = await runAll(0, rest.slice(0, 6));
      replies.push(...(await runAll(0, rest.slice(6))));
      assert.equal(await command.effects(locked), 0);
      await release();
      const reply = await first;
      assert.equal(await elsewhere, reply);
      await assertOnce([locked, ...rest], [reply, ...replies]);
    });

    it("one whose caller has cancelled, or does not wait any more, is not executed; its neighbours are", async () => {
      const [cancelled, late, ...rest] = (await newKeys(6)) as [string, string, ...string[]];
      const abort = new AbortController();
      const unwanted = Promise.allSettled([
        command.run(0, cancelled, call().with({ signal: abort.signal })),
        command.run(0, late, rootCall({ caller: "test", timeoutMs: 0 })),
      ]);
      const replies = runAll(0, rest);
      abort.abort();
      for (const one of await unwanted) assert.ok(one.status === "rejected" && refusalIn(one.reason)?.code === "deadline_exceeded");
      await replies;
      assert.deepEqual([await command.effects(cancelled), await command.effects(late)], [0, 0]);
      const asked = [await command.run(0, cancelled, call()), await command.run(1, late, call())];
      await assertOnce([cancelled, late, ...rest], [...asked, ...(await replies)]);
    });

    it("a batch whose connection is killed before it is written ends with an unknown outcome for all, and takes effect when they repeat it", async () => {
      const keys = await newKeys(20);
      const release = await others.hold(keys[11]!);
      const results = Promise.allSettled(keys.map((key) => command.run(0, key, call())));
      await others.blocked(1);
      await others.killBlocked();
      for (const result of await results) assert.ok(result.status === "rejected" && isUnknown(result.reason));
      await release();
      assert.deepEqual(
        await Promise.all(keys.map((key) => command.effects(key))),
        keys.map(() => 0),
      );
      const insisted = await Promise.all(keys.map((key, nth) => insist(nth % 2, key)));
      await assertOnce(
        keys,
        insisted.map(({ reply }) => reply),
      );
    });

    it("a batch whose reply is lost after the commit ends with an unknown outcome for all, and whoever repeats it gets the reply", async () => {
      const keys = await newKeys(20);
      const release = await others.hold(keys[11]!);
      const results = Promise.allSettled(keys.map((key) => command.run(0, key, call())));
      await others.blocked(1);
      way.mute();
      await release();
      for (const key of keys) while ((await command.effects(key)) === 0);
      way.cut();
      for (const result of await results) assert.ok(result.status === "rejected" && isUnknown(result.reason));
      const insisted = await Promise.all(keys.map((key, nth) => insist(nth % 2, key)));
      await assertOnce(
        keys,
        insisted.map(({ reply }) => reply),
      );
    });

    it("whatever moment the connections are killed at, each caller gets the reply or an unknown outcome, and each effect comes once", async (t) => {
      let unknown = 0;
      for (let round = 0; round < kills; round++) {
        const keys = await newKeys(40);
        const waves = both.flatMap((process) =>
          keys.map(async (key, nth) => {
            for (let waited = 0; waited < (nth % 8) * 3; waited++) await new Promise((resolve) => setImmediate(resolve));
            return { key, ...(await insist(process, key)) };
          }),
        );
        for (let waited = randomInt(12); waited > 0; waited--) await observer.run(sql`select`);
        await others.killAll();
        const replies = new Map<string, Set<string>>(keys.map((key) => [key, new Set()]));
        for (const one of await Promise.all(waves)) {
          replies.get(one.key)!.add(one.reply);
          unknown += one.unknown;
        }
        for (const [key, given] of replies) assert.equal(given.size, 1, key);
        await assertOnce(
          keys,
          [...replies.values()].map(([reply]) => reply!),
        );
      }
      t.diagnostic(`${unknown} unknown outcomes`);
      await command.check?.();
    });
  });
}
