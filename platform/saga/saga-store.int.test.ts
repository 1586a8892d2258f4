import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { interfere } from "../batch/test-interference.ts";
import type { Interference } from "../batch/test-interference.ts";
import { migrate } from "../database/migrate.ts";
import { openTestDatabase } from "../database/open-test-database.ts";
import { newTrace } from "../call/trace.ts";
import { createSagaStore } from "./saga-store.ts";
import type { NewSaga, SagaStore } from "./saga-store.ts";
import { sagaMigrations } from "./embedded.ts";

describe("sagas that begin in two processes", () => {
  let stores: readonly [SagaStore, SagaStore];
  let others: Interference;
  before(async () => {
    const { database, connection } = await openTestDatabase();
    await migrate(database, [sagaMigrations]);
    const second = (await openTestDatabase({ connection })).database;
    others = await interfere((await openTestDatabase({ name: "observer", connection })).database, connection, {
      table: "sagas",
      column: "key",
    });
    stores = [createSagaStore(database), createSagaStore(second)];
  });

  const saga = (key: string, subject?: string): NewSaga => ({
    id: `id ${key}`,
    name: "trip",
    subject,
    key,
    fingerprint: "f",
    input: new Uint8Array(),
    call: { correlation: "cor", trace: newTrace() },
    owner: "own",
    leaseMs: 1_000,
    now: new Date("2026-03-01T12:00:00Z"),
  });

  it("for the same subjects, under keys in the opposite order, fail nobody: who is in a deadlock is tried again", async () => {
    const release = await others.hold("m");
    const all = [
      ...[saga("a1", "x"), saga("m"), saga("z1", "y"), saga("n1")].map((one) => stores[0].begin(one)),
      ...[saga("a2", "y"), saga("m"), saga("z2", "x"), saga("n2")].map((one) => stores[1].begin(one)),
    ];
    await others.blocked(2);
    await release();
    const begun = await Promise.all(all);
    assert.deepEqual([begun[3], begun[7]], [true, true], "neighbours");
    const either = [begun[0]! !== begun[6]!, begun[1]! !== begun[5]!, begun[2]! !== begun[4]!];
    assert.deepEqual(either, [true, true, true], "of those who want the same, one begins");
  });
});
