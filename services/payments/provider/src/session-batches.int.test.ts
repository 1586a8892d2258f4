import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import { openTestDatabase } from "@kontor/platform/testing/postgres.ts";
import { providerMigrations } from "./provider-server.ts";
import { createSessionBatches } from "./session-batches.ts";
import type { Decision, NewSession, SessionRow } from "./session-store.ts";
import { delegating, openTestProvider } from "./test-provider.ts";

const at = new Date("2026-03-01T12:00:00Z");
const many = Array.from({ length: 40 }, (_, n) => n);
const approve = "4242424242424242";

const session = (key: string, more: Partial<NewSession> = {}): NewSession => ({
  key,
  page: `cs_${key}_${Math.random()}`,
  amount: { currency: "EUR", minor: 1999n },
  reference: `pay_of_${key}`,
  returnUrl: "https://shop.example/",
  at,
  ...more,
});

let decided = 0;
const approved = (of: string): Decision => {
  const id = String(++decided).padStart(6, "0");
  return { of, status: "succeeded", declineCode: "", last4: "4242", chargeId: `ch_${id}`, webhook: { id: `evt_${id}`, times: 1 }, at };
};

/** Batches over a database of their own, and how many statements they have sent to it. */
async function openBatches() {
  const database = await openTestDatabase({ name: "provider", migrations: [providerMigrations] });
  const seen = { statements: 0 };
  const rows = <Row extends object>(query: Sql): Promise<Row[]> => {
    seen.statements++;
    return database.rows<Row>(query);
  };
  const statementsOf = async <T>(work: () => Promise<T>): Promise<[number, T]> => {
    const before = seen.statements;
    const result = await work();
    return [seen.statements - before, result];
  };
  const count = async (table: "charges" | "webhooks"): Promise<number> =>
    (await database.one<{ rows: number }>(sql`select count(*)::int as rows from ${sql.name(table)}`)).rows;
  return { database, rows, sessions: createSessionBatches({ rows }), statementsOf, count };
}

const statuses = (sessions: readonly (SessionRow | undefined)[]) => sessions.map((one) => one?.status);

describe("provider: batches of sessions", { concurrency: true }, () => {
  it("opens many by one statement, and gives those who open one key at once the one session", async () => {
    const { sessions, statementsOf } = await openBatches();
    const [statements, opened] = await statementsOf(() => Promise.all(many.map((n) => sessions.open(session(`att_${n}`)))));
    assert.equal(statements, 1);
    const pages = opened.map(({ page }) => page);
    const again = many.flatMap((n) => [session(`att_${n}`), session(`new_${n}`), session(`new_${n}`)]);
    const [repeated, found] = await statementsOf(() => Promise.all(again.map((one) => sessions.open(one))));
    assert.equal(repeated, 2, "one inserts, and one reads those that were there");
    assert.deepEqual(
      many.map((n) => found[3 * n]!.page),
      pages,
    );
    for (const n of many) {
      assert.deepEqual(found[3 * n + 1], found[3 * n + 2]);
      assert.ok([again[3 * n + 1]!.page, again[3 * n + 2]!.page].includes(found[3 * n + 1]!.page!));
    }
    const [reads, read] = await statementsOf(() =>
      Promise.all([...many, 99].flatMap((n) => [sessions.find(`att_${n}`), sessions.findByPage(pages[n] ?? "cs_none")])),
    );
    assert.equal(reads, 2);
    assert.deepEqual(read, [...opened.flatMap((one) => [one, one]), undefined, undefined]);
  });

  it("decides many by one statement; of those who pay one session at once, one decides", async () => {
    const { sessions, statementsOf, count } = await openBatches();
    const opened = await Promise.all(many.map((n) => sessions.open(session(`att_${n}`))));
    const pays = opened.flatMap(({ page }) => [approved(page!), { ...approved(page!), status: "declined" as const }]);
    const [statements, paid] = await statementsOf(() =>
      Promise.all([...pays, approved("cs_none")].map((one) => sessions.decide("open", one))),
    );
    assert.equal(statements, 1);
    assert.deepEqual(statuses(paid), [...many.flatMap(() => ["succeeded", undefined]), undefined]);
    assert.deepEqual(paid[0], { ...opened[0]!, status: "succeeded" });
    assert.deepEqual([await count("charges"), await count("webhooks")], [many.length, many.length]);
    const late = await Promise.all(opened.map(({ page }) => sessions.decide("open", approved(page!))));
    assert.deepEqual(
      late.filter((one) => one !== undefined),
      [],
    );
    assert.deepEqual([await count("charges"), await count("webhooks")], [many.length, many.length]);
  });

  it("decides what was processing, each as it was to be, together", async () => {
    const { sessions, statementsOf, count } = await openBatches();
    const opened = await Promise.all(many.map((n) => sessions.open(session(`att_${n}`))));
    const to = (n: number) => (n % 2 === 0 ? "succeeded" : "declined");
    const slow = await Promise.all(
      opened.map(({ page }, n) => sessions.decide("open", { ...approved(page!), status: "processing", settles: { at, to: to(n) } })),
    );
    assert.deepEqual(new Set(statuses(slow)), new Set(["processing"]));
    assert.deepEqual([await count("charges"), await count("webhooks")], [0, 0]);
    const [statements, settled] = await statementsOf(() =>
      Promise.all(many.map((n) => sessions.decide("processing", { ...approved(`att_${n}`), status: to(n) }))),
    );
    assert.equal(statements, 1);
    assert.deepEqual(statuses(settled), many.map(to));
    assert.deepEqual([await count("charges"), await count("webhooks")], [many.length / 2, many.length]);
  });

  it("closes many by one statement, and gives those that are decided as they are", async () => {
    const { sessions, statementsOf } = await openBatches();
    const opened = await Promise.all(many.map((n) => sessions.open(session(`att_${n}`))));
    await Promise.all(opened.slice(0, 10).map(({ page }) => sessions.decide("open", approved(page!))));
    const keys = [...many, ...many].map((n) => `att_${n}`);
    const [statements, closed] = await statementsOf(() =>
      Promise.all([...keys, "never", "never"].map((key) => sessions.close({ key, at }))),
    );
    assert.equal(statements, 2, "one closes, and one reads those that were decided");
    assert.deepEqual(statuses(closed), [...[...many, ...many].map((n) => (n < 10 ? "succeeded" : "closed")), "closed", "closed"]);
  });

  it("what the database refuses fails alone, and the others of its batch take effect", async () => {
    const { database, sessions, count } = await openBatches();
    await database.run(sql`alter table sessions add check (reference <> 'bad')`);
    await database.run(sql`alter table charges add check (session_key <> 'att_7')`);
    const opened = await Promise.allSettled(many.map((n) => sessions.open(session(`att_${n}`, n === 3 ? { reference: "bad" } : {}))));
    assert.deepEqual(
      opened.flatMap(({ status }, n) => (status === "rejected" ? [n] : [])),
      [3],
    );
    const pages = opened.flatMap((one) => (one.status === "fulfilled" ? [one.value.page!] : []));
    const paid = await Promise.allSettled(pages.map((page) => sessions.decide("open", approved(page))));
    assert.equal(paid.filter(({ status }) => status === "rejected").length, 1);
    assert.equal((await sessions.find("att_7"))?.status, "open");
    assert.deepEqual([await count("charges"), await count("webhooks")], [many.length - 2, many.length - 2]);
  });

  it("R4: two processes that write the same sessions in different orders do not wait for each other", async () => {
    const { sessions, rows, statementsOf } = await openBatches();
    const other = createSessionBatches({ rows });
    for (let round = 0; round < 10; round++) {
      const keys = many.map((n) => `att_${round}_${n}`);
      const [opening] = await statementsOf(() =>
        Promise.all([...keys.map((key) => sessions.open(session(key))), ...keys.toReversed().map((key) => other.open(session(key)))]),
      );
      assert.ok(opening <= 4, "no statement was repeated");
      const opened = await Promise.all(keys.map((key) => sessions.find(key)));
      const [deciding] = await statementsOf(() =>
        Promise.all([
          ...opened.map((one) => sessions.decide("open", approved(one!.page!))),
          ...keys.toReversed().map((key) => other.close({ key, at })),
        ]),
      );
      assert.ok(deciding <= 3, "no statement was repeated");
    }
  });
});

describe("provider: batches on a connection that is lost", { concurrency: true }, () => {
  it("R6: the outcomes are unknown; repeated, each session is paid and reported once", async () => {
    await using provider = await openTestProvider();
    const { database } = provider;
    const urls = await Promise.all(many.map(async (n) => (await provider.open(`att_${n}`)).url));
    const locked = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    const holding = database.transaction(async (tx) => {
      await tx.run(sql`select 1 from sessions where key = 'att_5' for update`);
      locked.resolve();
      await release.promise;
    });
    await locked.promise;
    const paying = Promise.all(urls.map((url) => provider.pay(url, approve)));
    const kill = sql`select pg_terminate_backend(pid, 5000) as done from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    // In a transaction, which has a connection that no batch waits on.
    while ((await database.transaction((tx) => tx.rows(kill))).length === 0);
    release.resolve();
    await holding;
    const first = (await paying).map(({ status }) => status);
    assert.ok(first.includes(503));
    assert.deepEqual(new Set(first.filter((status) => status !== 503)), new Set(first.includes(303) ? [303] : []));
    for (const { status } of await Promise.all(urls.map((url) => provider.pay(url, approve)))) assert.equal(status, 303);
    await provider.server.idle();
    assert.deepEqual([await provider.count("charges"), await provider.count("webhooks")], [many.length, many.length]);
    assert.equal(new Set(provider.webhooks.map(({ event }) => event.data.key)).size, many.length);
    assert.equal(provider.webhooks.length, many.length);
  });

  it("R26: a reader of the ledger gets no charge behind those of a batch that is not committed", async () => {
    await using provider = await openTestProvider();
    const { database } = provider;
    const written = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    let held = false;
    await provider.restart({
      database: {
        ...delegating(database),
        rows: async (query) => {
          if (held) {
            held = false;
            written.resolve();
            await release.promise;
          }
          return database.rows(query);
        },
      },
    });
    const charges = async () =>
      ((await provider.call("GET", "/v1/charges")).body as { charges: { session: string }[] }).charges.map((charge) => charge.session);
    const [first, second, third] = await Promise.all(["att_1", "att_2", "att_3"].map((key) => provider.open(key)));
    await provider.pay(first!.url, approve);
    held = true;
    const paying = Promise.all([second!, third!].map(({ url }) => provider.pay(url, approve)));
    await written.promise;
    await database.run(sql`
      insert into charges (id, session_key, reference, currency, amount, refunded, at)
      select 'ch_zzzz', 'att_4', reference, currency, amount, 0, at from charges`);
    assert.deepEqual(await charges(), ["att_1"]);
    release.resolve();
    await paying;
    assert.deepEqual((await charges()).toSorted(), ["att_1", "att_2", "att_3", "att_4"]);
  });
});
