import assert from "node:assert/strict";
import { it } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { refuse } from "../errors/refusal.ts";
import { soldOut } from "./open-test-sagas.ts";
import type { SagasSetup } from "./open-test-sagas.ts";

/** Idempotency keys and subjects: what begins a saga, and what joins one. */
export function sagaKeys({ app, step, database }: SagasSetup): void {
  it("a key whose refusal is not stored is free again", async (t) => {
    let found = false;
    const { engine, trip, request } = app(t, (record) => [
      step(record, "a", () => {
        if (!found) throw refuse({ reason: "NOT_FOUND", code: "not_found" });
      }),
    ]);
    const one = engine();
    const key = `${trip.name}/key`;
    assert.equal((await one.run(trip, request({ key }))).status, "refused");
    found = true;
    assert.equal((await one.run(trip, request({ key }))).status, "done");
  });

  it("fifty at once with one key are one saga, and get fifty equal replies", async (t) => {
    const { engine, trip, request, called } = app(t, (record) => [step(record, "a", () => new Promise(setImmediate)), step(record, "b")]);
    const engines = [engine(), engine()];
    const key = `${trip.name}/key`;
    const results = await Promise.all(Array.from({ length: 50 }, (_, at) => engines[at % 2]!.run(trip, request({ key }))));
    assert.deepEqual(called(), ["a", "b"]);
    const bytes = results.map((result) =>
      result.status === "done" ? Buffer.from(toBinary(StringValueSchema, result.reply)).toString("hex") : result.status,
    );
    assert.equal(new Set(bytes).size, 1);
    assert.equal(new Set(results.map((result) => result.id)).size, 1);
    const later = await engine().run(trip, request({ key }));
    assert.deepEqual(later, results[0]);
  });

  it("refuses a key that comes with another request", async (t) => {
    const { engine, trip, request, called } = app(t, (record) => [step(record, "a")]);
    const one = engine();
    const key = `${trip.name}/key`;
    await one.run(trip, request({ key }));
    await assert.rejects(one.run(trip, request({ key, fingerprint: "other" })), { reason: "IDEMPOTENCY_KEY_REUSED" });
    assert.deepEqual(called(), ["a"]);
  });

  it("joins the saga of a key without beginning one", async (t) => {
    const { engine, trip, request } = app(t, (record) => [step(record, "a")]);
    const one = engine();
    const { call, fingerprint } = request();
    const key = `${trip.name}/key`;
    assert.equal(await one.join(trip, { key, fingerprint, call }), undefined);
    const first = await one.run(trip, request({ key }));
    assert.deepEqual(await one.join(trip, { key, fingerprint, call }), first);
    await assert.rejects(one.join(trip, { key, fingerprint: "other", call }), { reason: "IDEMPOTENCY_KEY_REUSED" });
  });

  it("one subject has one live saga, whatever the key, until it is released or refused", async (t) => {
    let refused = false;
    const { engine, trip, request, called, clock, row } = app(t, (record) => [
      step(record, "a", () => {
        if (refused) throw refuse(soldOut);
      }),
    ]);
    const one = engine();
    const subject = "cart 1";
    const order = (key: string) => one.run(trip, request({ subject, key: `${trip.name}/${key}`, fingerprint: key }));
    const results = await Promise.all([order("1"), order("2"), one.run(trip, request({ subject, fingerprint: "no key" }))]);
    assert.equal(new Set(results.map((result) => result.id)).size, 1);
    assert.deepEqual(called(), ["a"]);
    assert.deepEqual(await order("3"), results[0]);
    assert.deepEqual(await one.holders(database(), trip, [subject, "cart 2"]), [
      { id: results[0].id, input: create(StringValueSchema, { value: "start" }) },
    ]);
    await database().transaction((tx) => one.release(tx, [results[0].id]));
    assert.deepEqual((await row(results[0].id)).released_at, clock.now());
    assert.deepEqual(await one.holders(database(), trip, [subject]), []);
    refused = true;
    const second = await order("4");
    assert.equal(second.status, "refused");
    refused = false;
    const third = await order("5");
    assert.equal(third.status, "done");
    assert.equal(new Set([results[0].id, second.id, third.id]).size, 3);
    assert.equal((await one.run(trip, request({ subject: "cart 2" }))).id !== third.id, true);
  });

  it("a release that comes late or again frees nothing that another saga has since", async (t) => {
    const { engine, trip, request } = app(t, (record) => [step(record, "a")]);
    const one = engine();
    const first = await one.run(trip, request({ subject: "cart" }));
    const release = () => database().transaction((tx) => one.release(tx, [first.id, "chk_none"]));
    await release();
    const second = await one.run(trip, request({ subject: "cart" }));
    await release();
    assert.equal((await one.run(trip, request({ subject: "cart" }))).id, second.id);
  });
}
