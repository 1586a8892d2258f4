import assert from "node:assert/strict";
import { it } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { refuse } from "../errors/refusal.ts";
import { soldOut } from "./open-test-sagas.ts";
import type { SagasSetup } from "./open-test-sagas.ts";

/** Idempotency keys and subjects: what begins a saga, and what joins one. */
export function sagaKeys({ app, step, done, database }: SagasSetup): void {
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

  it("finds the saga of a key without beginning one", async (t) => {
    const { engine, trip, request } = app(t, (record) => [step(record, "a")]);
    const one = engine();
    const { call, fingerprint } = request();
    const key = `${trip.name}/key`;
    assert.equal(await one.ofKey(trip, { key, fingerprint, call }), undefined);
    const first = await one.run(trip, request({ key }));
    assert.deepEqual(await one.ofKey(trip, { key, fingerprint, call }), first);
    await assert.rejects(one.ofKey(trip, { key, fingerprint: "other", call }), { reason: "IDEMPOTENCY_KEY_REUSED" });
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
    const held = { status: "held", id: results[0].id, input: create(StringValueSchema, { value: "start" }) };
    assert.deepEqual(await order("3"), held);
    assert.deepEqual(await one.ended(trip, held.id, request().call), done(held.id, "start a"));
    assert.deepEqual(await one.holders(database(), trip, [subject, "cart 2"]), [{ id: held.id, input: held.input }]);
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

  it("a key that joined gets that reply again, also when the subject has another saga, and in another process", async (t) => {
    const { engine, trip, request } = app(t, (record) => [step(record, "a")]);
    const one = engine();
    const first = await one.run(trip, request({ subject: "cart", key: `${trip.name}/1` }));
    const second = { ...request({ subject: "cart", key: `${trip.name}/2`, fingerprint: "2" }), key: `${trip.name}/2` };
    assert.equal((await one.run(trip, second)).status, "held");
    const asItIsNow = { status: "done", id: first.id, reply: create(StringValueSchema, { value: "later" }) } as const;
    assert.equal(await one.join(trip, second, asItIsNow), true);
    assert.equal(await one.join(trip, { ...second, id: "another" }, asItIsNow), false, "the key is used");
    await one.release(database(), [first.id]);
    assert.notEqual((await one.run(trip, request({ subject: "cart" }))).id, first.id);
    const other = engine();
    assert.deepEqual(await other.run(trip, { ...second, id: "third" }), asItIsNow);
    assert.deepEqual(await other.ofKey(trip, second), asItIsNow);
    await assert.rejects(other.run(trip, { ...second, fingerprint: "other" }), { reason: "IDEMPOTENCY_KEY_REUSED" });
  });

  it("a key that joined a saga under way gets what that ends with; a refusal that is not stored leaves it free", async (t) => {
    const ends: PromiseWithResolvers<void>[] = [];
    const { engine, trip, request } = app(t, (record) => [
      step(record, "a", () => {
        ends.push(Promise.withResolvers());
        return ends.at(-1)!.promise;
      }),
    ]);
    const one = engine();
    const joined = async (name: string, end: (resolvers: PromiseWithResolvers<void>) => void) => {
      const first = one.run(trip, request({ subject: name, key: `${trip.name}/${name}` }));
      const key = `${trip.name}/${name} too`;
      const held = await one.run(trip, request({ subject: name, key }));
      assert.equal(held.status, "held");
      assert.equal(await one.join(trip, { ...request(), key }, { status: "running", id: held.id }), true);
      const again = one.run(trip, request({ subject: name, key }));
      end(ends.at(-1)!);
      return { first: await first, again: await again, key };
    };
    const placed = await joined("placed", ({ resolve }) => resolve());
    assert.deepEqual(placed.again, placed.first);
    const stored = await joined("sold out", ({ reject }) => reject(refuse(soldOut)));
    assert.deepEqual([stored.first.status, stored.again], ["refused", stored.first]);
    assert.deepEqual(await one.ofKey(trip, { ...request(), key: stored.key }), stored.first);
    const first = one.run(trip, request({ subject: "gone", key: `${trip.name}/gone` }));
    const key = `${trip.name}/gone too`;
    const held = await one.run(trip, request({ subject: "gone", key }));
    await one.join(trip, { ...request(), key }, { status: "running", id: held.id });
    ends.at(-1)!.reject(refuse({ reason: "NOT_FOUND", code: "not_found" }));
    assert.equal((await first).status, "refused");
    assert.equal(await one.ofKey(trip, { ...request(), key }), undefined);
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
