import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { create, equals } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { EventLogService, ReadEventsRequestSchema, ReadEventsResponseSchema } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import type { ReadEventsResponse } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import { ManualClock } from "../clock/clock.ts";
import { refusalIn, refuse } from "../errors/refusal.ts";
import type { Refusal } from "../errors/refusal.ts";
import { rootCall } from "../call/call.ts";
import type { User } from "../call/call.ts";
import { idempotencyKeyOf } from "../call/idempotency-key.ts";
import { sqlState } from "./database.ts";
import type { Transaction } from "./database.ts";
import { platformRetention } from "../retention/platform-retention.ts";
import { sweep } from "../retention/sweep.ts";
import { idempotent } from "./idempotency.ts";
import { idempotencyMigrations, migrate } from "./migrate.ts";
import { openTestDatabase } from "./open-test-database.ts";
import type { PostgresDatabase } from "./postgres.ts";
import { sql } from "./sql.ts";

const clock = new ManualClock(new Date("2026-01-31T12:00:00Z"));
const hourMs = 3_600_000;
const method = EventLogService.method.readEvents;
const output = ReadEventsResponseSchema;
const user: User = { id: "usr_ada", session: "ses_1", roles: [], verified: true };

let database: PostgresDatabase;
/** Another process, as far as the database can tell. */
let elsewhere: PostgresDatabase;
let keys = 0;
const newKey = () => `key-${++keys}`;

before(async () => {
  const open = await openTestDatabase();
  database = open.database;
  elsewhere = (await openTestDatabase({ connection: open.connection })).database;
  await migrate(database, [idempotencyMigrations]);
  await database.run(sql`create table effects (key text)`);
});

interface Ask {
  readonly key: string | undefined;
  readonly limit?: number;
  readonly by?: User;
  readonly caller?: string;
  readonly scope?: string;
  readonly timeoutMs?: number;
  readonly on?: PostgresDatabase;
  /** Instead of what is done otherwise: note the effect and reply with the number of effects. */
  readonly work?: (tx: Transaction) => Promise<MessageInitShape<typeof output>>;
  readonly followUp?: (reply: ReadEventsResponse) => Promise<MessageInitShape<typeof output>>;
}

const ask = ({ key, limit = 1, by, caller = "gateway", scope, timeoutMs = 10_000, on = database, work, followUp }: Ask) =>
  idempotent({
    database: on,
    clock,
    call: rootCall({ caller, user: by, idempotencyKey: key, timeoutMs }),
    scope,
    method,
    request: create(ReadEventsRequestSchema, { limit }),
    work: work ?? ((tx) => effect(tx, key)),
    followUp,
  });

async function effect(tx: Transaction, key: string | undefined) {
  await tx.run(sql`insert into effects values (${key})`);
  return { next: await tx.one<{ epoch: number }>(sql`select count(*)::int as epoch from effects`) };
}

const effectsOf = async (key: string) => (await database.rows(sql`select 1 from effects where key = ${key}`)).length;

describe("idempotency", () => {
  test("50 parallel requests with one key have one effect and get 50 equal replies", async () => {
    const key = newKey();
    const replies = await Promise.all(Array.from({ length: 50 }, (_, at) => ask({ key, on: at % 2 === 0 ? database : elsewhere })));
    assert.equal(await effectsOf(key), 1);
    for (const reply of replies) assert.ok(equals(output, reply, replies[0]!));
  });

  test("a repeat gets the same reply and does no work, also an empty one", async () => {
    const key = newKey();
    const first = await ask({ key });
    const never = () => assert.fail("it was done already");
    assert.ok(equals(output, await ask({ key, work: never }), first));
    assert.ok(equals(output, await ask({ key, work: never, on: elsewhere }), first));
    const empty = newKey();
    await ask({ key: empty, work: async () => ({}) });
    assert.ok(equals(output, await ask({ key: empty, work: never }), create(output)));
  });

  test("without a key each request is done", async () => {
    const count = async () => (await database.rows(sql`select 1 from effects where key is null`)).length;
    const before = await count();
    await Promise.all([ask({ key: undefined }), ask({ key: undefined })]);
    assert.equal(await count(), before + 2);
  });

  test("the same key with another request is refused as reused, whether the first succeeded or not", async () => {
    const [good, bad] = [newKey(), newKey()];
    await ask({ key: good });
    await assert.rejects(
      ask({ key: bad, work: async () => Promise.reject(refuse({ reason: "OUT_OF_STOCK", code: "failed_precondition" })) }),
      /OUT_OF_STOCK/,
    );
    for (const key of [good, bad])
      await assert.rejects(
        ask({ key, limit: 2 }),
        (error) => refusalIn(error)?.reason === "IDEMPOTENCY_KEY_REUSED" && refusalIn(error)?.code === "invalid_argument",
      );
    assert.equal(await effectsOf(good), 1);
  });

  test("a key is the caller's own: user, service, scope and method distinguish equal ones", async () => {
    const key = newKey();
    await ask({ key, by: user });
    await ask({ key, by: { ...user, id: "usr_bob" } });
    await ask({ key, by: user, scope: "cart_1" });
    await ask({ key, caller: "checkout" });
    assert.equal(await effectsOf(key), 4);
    await ask({ key, by: { ...user, session: "ses_2" } });
    await ask({ key, by: { ...user, id: "usr_eve" }, scope: "cart_1" });
    assert.equal(await effectsOf(key), 4);
    const call = rootCall({ caller: "gateway", idempotencyKey: key, timeoutMs: 1_000 });
    assert.notEqual(idempotencyKeyOf({ call, scope: 'a","b', method }), idempotencyKeyOf({ call, scope: "a", method }));
  });

  test("a decided refusal rolls the effect back, and a repeat gets the same refusal with all its fields", async () => {
    for (const code of ["failed_precondition", "aborted", "already_exists"] as const) {
      const key = newKey();
      const given = refuse({
        reason: "OUT_OF_STOCK",
        code,
        message: "Only two are left",
        details: { free: 2 },
        fields: [{ field: "lines[0]", reason: "MAXIMUM", message: "m" }],
      });
      const refused = ask({
        key,
        work: async (tx) => {
          await effect(tx, key);
          throw new Error("wrapped", { cause: given });
        },
      });
      await assert.rejects(refused, (error) => refusalIn(error) === given);
      const said = ({ reason, message, details, fields, code: itsCode }: Refusal) => ({ reason, message, details, fields, code: itsCode });
      await assert.rejects(ask({ key }), (error) => {
        assert.deepEqual(said(refusalIn(error)!), said(given));
        return true;
      });
      assert.equal(await effectsOf(key), 0);
    }
  });

  test("other refusals and faults are not stored: the repeat does the work", async () => {
    const errors = [
      ...(
        [
          "invalid_argument",
          "unauthenticated",
          "permission_denied",
          "not_found",
          "resource_exhausted",
          "unavailable",
          "deadline_exceeded",
        ] as const
      ).map((code) => refuse({ reason: "SOME", code })),
      new Error("a bug"),
    ];
    for (const given of errors) {
      const key = newKey();
      const failing = ask({ key, work: (tx) => effect(tx, key).then(() => Promise.reject(given)) });
      await assert.rejects(failing, (error) => error === given);
      await ask({ key });
      assert.equal(await effectsOf(key), 1);
    }
  });

  test("a repeat that cannot wait any longer is refused because the first is still running, here and elsewhere", async () => {
    const key = newKey();
    const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const first = ask({
      key,
      work: async (tx) => {
        const reply = await effect(tx, key);
        begin();
        await held;
        return reply;
      },
    });
    await begun;
    for (const on of [database, elsewhere])
      await assert.rejects(ask({ key, on, timeoutMs: 60 }), (error) => {
        const refusal = refusalIn(error);
        assert.deepEqual([refusal?.reason, refusal?.code, refusal?.retryAfterMs], ["IDEMPOTENCY_KEY_IN_PROGRESS", "aborted", 1_000]);
        return true;
      });
    const waiting = [ask({ key }), ask({ key, on: elsewhere })];
    letGo();
    for (const reply of await Promise.all(waiting)) assert.ok(equals(output, reply, await first));
    assert.equal(await effectsOf(key), 1);
  });

  test("a repeat that waited for one that was refused gets the refusal or does it: one outcome for all", async () => {
    for (let round = 0; round < 10; round++) {
      const key = newKey();
      let tries = 0;
      const work = async (tx: Transaction) => {
        const reply = await effect(tx, key);
        if (++tries === 1) throw refuse({ reason: "OUT_OF_STOCK", code: "failed_precondition" });
        return reply;
      };
      const results = await Promise.allSettled(
        Array.from({ length: 8 }, (_, at) => ask({ key, work, on: at % 2 === 0 ? database : elsewhere })),
      );
      const outcomes = new Set(
        results.map((result) => (result.status === "fulfilled" ? result.value.next?.epoch : refusalIn(result.reason)?.reason)),
      );
      assert.equal(outcomes.size, 1, [...outcomes].join());
      assert.ok((await effectsOf(key)) <= 1);
    }
  });

  test("a reply is stored for 24 hours and more; then the key is free, and the sweep takes the row", async () => {
    const retention = platformRetention.filter(({ table }) => table === "idempotency_keys");
    const sweptAt = async (now: Date) => {
      const stored = async () => (await database.one<{ keys: number }>(sql`select count(*)::int as keys from idempotency_keys`)).keys;
      const before = await stored();
      await sweep(database, retention, now);
      return before - (await stored());
    };
    await sweptAt(new Date(clock.now().getTime() + 100 * hourMs));
    const [key, unused] = [newKey(), newKey()];
    const first = await ask({ key });
    await ask({ key: unused });
    clock.advance(24 * hourMs);
    assert.ok(equals(output, await ask({ key }), first));
    assert.equal(await sweptAt(clock.now()), 0);
    clock.advance(2 * hourMs);
    await ask({ key, limit: 2 });
    assert.equal(await effectsOf(key), 2);
    assert.equal(await sweptAt(clock.now()), 1);
    assert.ok(await ask({ key, limit: 2, work: () => assert.fail("it was done already") }));
  });

  test("a reply that cannot be stored fails the effect with it", async () => {
    const key = newKey();
    const failing = ask({
      key,
      work: async (tx) => {
        const reply = await effect(tx, key);
        await tx.run(sql`alter table idempotency_keys add constraint broken check (response is null) not valid`);
        return reply;
      },
    });
    await assert.rejects(failing, (error) => sqlState(error) === "23514");
    assert.equal(await effectsOf(key), 0);
  });

  test("what follows the commit happens once, and what it gives is the reply from then on", async () => {
    const key = newKey();
    let followed = 0;
    const once = () => ask({ key, followUp: async () => ({ next: { epoch: -++followed } }) });
    for (const reply of [...(await Promise.all([once(), once()])), await once()]) assert.equal(reply.next?.epoch, -1);
    assert.deepEqual([followed, await effectsOf(key)], [1, 1]);
  });

  test("when what follows the commit fails, a repeat gets what was decided, and does nothing", async () => {
    const key = newKey();
    let decided: ReadEventsResponse | undefined;
    const fail = async (reply: ReadEventsResponse) => {
      decided = reply;
      throw new Error("the process ends here");
    };
    await assert.rejects(ask({ key, followUp: fail }), /ends here/);
    assert.ok(equals(output, await ask({ key, followUp: fail }), decided!));
    assert.equal(await effectsOf(key), 1);
  });
});
