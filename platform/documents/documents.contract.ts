import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { Refusal } from "../errors/refusal.ts";
import type { Collection, Documents } from "./documents.ts";

interface Note {
  readonly text: string;
  readonly lines?: readonly { readonly sku: string; readonly quantity: number }[];
}

const at = new Date("2026-03-01T12:00:00.000Z");
const after = (ms: number): Date => new Date(at.getTime() + ms);

function conflict(version: number): (error: unknown) => boolean {
  return (error) => {
    assert(error instanceof Refusal);
    assert.equal(error.reason, "VERSION_CONFLICT");
    assert.equal(error.code, "aborted");
    assert.deepEqual(error.details, { version });
    return true;
  };
}

/** What every engine of the documents seam must do. `open` may give the same engine each time: each test has a collection of its own. */
export function documentsContract(name: string, open: () => Promise<Documents>): void {
  const fresh = async (): Promise<Collection<Note>> => (await open()).collection<Note>(randomUUID());

  describe(`documents: ${name}`, () => {
    it("returns what was put, with its version and expiry", async () => {
      const notes = await fresh();
      const body: Note = { text: 'Grüße, "O\'Neil" \\ 東京 😀', lines: [{ sku: "A", quantity: 2 }] };
      assert.equal(await notes.get("n1", at), undefined);
      assert.equal(await notes.put("n1", body, { expectedVersion: 0, expiresAt: after(1_000) }), 1);
      assert.deepEqual(await notes.get("n1", at), { id: "n1", version: 1, body, expiresAt: after(1_000) });
      assert.equal(await notes.put("n1", { text: "b" }, { expectedVersion: 1 }), 2);
      assert.deepEqual(await notes.get("n1", at), { id: "n1", version: 2, body: { text: "b" }, expiresAt: undefined });
    });

    it("takes a document from another store with its version, and continues from there", async () => {
      const notes = await fresh();
      assert.equal(await notes.put("n1", { text: "a" }, { expectedVersion: 0, startsAt: 7 }), 7);
      assert.equal((await notes.get("n1", at))?.version, 7);
      assert.equal(await notes.put("n1", { text: "b" }, { expectedVersion: 7 }), 8);
      const again = notes.put("n1", { text: "c" }, { expectedVersion: 0, startsAt: 7 });
      await assert.rejects(again, conflict(8));
    });

    it("separates collections and ids", async () => {
      const documents = await open();
      const left = documents.collection<Note>(randomUUID());
      const right = documents.collection<Note>(randomUUID());
      await left.put("n", { text: "left" }, { expectedVersion: 0 });
      await left.put("m", { text: "other" }, { expectedVersion: 0 });
      await right.put("n", { text: "right" }, { expectedVersion: 0 });
      await right.delete("n");
      assert.equal((await left.get("n", at))?.body.text, "left");
      assert.equal(await right.get("n", at), undefined);
      assert.equal(await right.get("m", at), undefined);
    });

    it("takes any text as an id, distinct from every other, and refuses names that are not safe", async () => {
      const ids = [
        "",
        " ",
        "a",
        "A",
        "é",
        "e\u0301",
        "ß",
        "東京 😀",
        "a:b",
        "{a}",
        "a}b{",
        "$a",
        "a.b",
        "*",
        "a/b",
        "%00",
        "__proto__",
        "1",
        "01",
      ];
      const notes = await fresh();
      for (const id of ids) await notes.put(id, { text: id }, { expectedVersion: 0, expiresAt: after(1_000) });
      for (const id of ids) assert.deepEqual(await notes.get(id, at), { id, version: 1, body: { text: id }, expiresAt: after(1_000) });
      await notes.delete(...ids.slice(0, 10));
      for (const [nth, id] of ids.entries()) assert.equal((await notes.get(id, at))?.body.text, nth < 10 ? undefined : id);
      assert.equal(await notes.sweep(after(1_000)), ids.length - 10);
      const documents = await open();
      for (const name of ["", "a b", "a:b", "a.b", "{a}", "$a", "é", "a".repeat(61)])
        assert.throws(() => documents.collection(name), /cannot name a collection/, name);
    });

    it("stores a body as JSON does", async () => {
      const documents = await open();
      const things = documents.collection<Record<string, unknown>>(randomUUID());
      const body = {
        "": { $set: { "a.b": [null, true, [], {}, [[{ $in: 1 }]]] } },
        numbers: [0.1, -1, 2 ** 31, 2 ** 53 - 1, -(2 ** 53 - 1), 1e300, 1e-7, 12_345.678_901],
        big: "x".repeat(1_000_000),
        unknown: undefined,
        when: at,
        _id: "another",
        version: 9,
        expiresAt: "never",
      };
      await things.put("n", body, { expectedVersion: 0 });
      assert.deepEqual((await things.get("n", at))?.body, JSON.parse(JSON.stringify(body)));
      const lines = Array.from({ length: 10_000 }, (_, n) => ({ sku: `S-${n}`, quantity: n }));
      await things.put("n", { lines }, { expectedVersion: 1 });
      assert.deepEqual(await things.get("n", at), { id: "n", version: 2, body: { lines }, expiresAt: undefined });
    });

    it("refuses a write that saw another version and says which it is", async () => {
      const notes = await fresh();
      await assert.rejects(notes.put("n", { text: "x" }, { expectedVersion: 3 }), conflict(0));
      await notes.put("n", { text: "a" }, { expectedVersion: 0 });
      await notes.put("n", { text: "b" }, { expectedVersion: 1 });
      await assert.rejects(notes.put("n", { text: "x" }, { expectedVersion: 0 }), conflict(2));
      await assert.rejects(notes.put("n", { text: "x" }, { expectedVersion: 1 }), conflict(2));
      await assert.rejects(notes.put("n", { text: "x" }, { expectedVersion: 3 }), conflict(2));
      assert.equal((await notes.get("n", at))?.body.text, "b");
    });

    for (const [what, expectedVersion] of [
      ["new", 0],
      ["old", 1],
    ] as const)
      it(`lets one of twenty concurrent writers write the ${what} document`, async () => {
        const notes = await fresh();
        if (expectedVersion === 1) await notes.put("n", { text: "first" }, { expectedVersion: 0 });
        const racers = Array.from({ length: 20 }, (_, racer) => notes.put("n", { text: `${racer}` }, { expectedVersion }));
        const outcomes = await Promise.allSettled(racers);
        const winners = outcomes.flatMap((outcome, racer) => (outcome.status === "fulfilled" ? [racer] : []));
        assert.equal(winners.length, 1);
        for (const outcome of outcomes) if (outcome.status === "rejected") conflict(expectedVersion + 1)(outcome.reason);
        assert.deepEqual(await notes.get("n", at), {
          id: "n",
          version: expectedVersion + 1,
          body: { text: `${winners[0]}` },
          expiresAt: undefined,
        });
      });

    it("does not find what has expired by the time passed", async () => {
      const notes = await fresh();
      await notes.put("n", { text: "a" }, { expectedVersion: 0, expiresAt: after(1_000) });
      assert.equal((await notes.get("n", after(999)))?.body.text, "a");
      assert.equal(await notes.get("n", after(1_000)), undefined);
      await notes.put("n", { text: "b" }, { expectedVersion: 1, expiresAt: after(5_000) });
      assert.equal((await notes.get("n", after(4_999)))?.body.text, "b");
    });

    it("sweeps all expired documents, however many, and nothing else", async () => {
      const notes = await fresh();
      const ids = Array.from({ length: 1_050 }, (_, n) => `n${n}`);
      await Promise.all(ids.map((id, n) => notes.put(id, { text: id }, { expectedVersion: 0, expiresAt: after(n < 1_040 ? n : 60_000) })));
      await notes.put("lasting", { text: "for ever" }, { expectedVersion: 0 });
      assert.equal(await notes.sweep(after(1_039)), 1_040);
      assert.equal(await notes.sweep(after(1_039)), 0);
      assert.equal(await notes.get("n0", at), undefined);
      assert.equal((await notes.get("n1049", at))?.version, 1);
      assert.equal((await notes.get("lasting", after(10 ** 12)))?.version, 1);
      assert.equal(await notes.put("n0", { text: "again" }, { expectedVersion: 0 }), 1);
    });

    it("does not sweep what was prolonged, or no longer expires", async () => {
      const notes = await fresh();
      await notes.put("longer", { text: "a" }, { expectedVersion: 0, expiresAt: after(1_000) });
      await notes.put("ever", { text: "a" }, { expectedVersion: 0, expiresAt: after(1_000) });
      await notes.put("shorter", { text: "a" }, { expectedVersion: 0 });
      await notes.put("longer", { text: "b" }, { expectedVersion: 1, expiresAt: after(5_000) });
      await notes.put("ever", { text: "b" }, { expectedVersion: 1 });
      await notes.put("shorter", { text: "b" }, { expectedVersion: 1, expiresAt: after(2_000) });
      assert.equal(await notes.sweep(after(1_999)), 0);
      assert.equal(await notes.sweep(after(4_999)), 1);
      assert.equal((await notes.get("longer", after(4_999)))?.body.text, "b");
      assert.equal((await notes.get("ever", after(10 ** 12)))?.body.text, "b");
      assert.equal(await notes.get("shorter", at), undefined);
    });

    it("does not remove what a writer prolongs at the same time", async () => {
      const notes = await fresh();
      const ids = Array.from({ length: 200 }, (_, n) => `n${n}`);
      await Promise.all(ids.map((id) => notes.put(id, { text: "a" }, { expectedVersion: 0, expiresAt: after(1_000) })));
      const [swept, ...prolonged] = await Promise.all([
        notes.sweep(after(1_000)),
        ...ids.map((id) =>
          notes.put(id, { text: "b" }, { expectedVersion: 1, expiresAt: after(5_000) }).catch((error: unknown) => {
            conflict(0)(error);
          }),
        ),
      ]);
      const stored = prolonged.filter((version) => version === 2).length;
      assert.equal(swept + stored, ids.length);
      assert.equal(await notes.sweep(after(5_000)), stored);
    });

    it("reports the version of an expired document until it is swept", async () => {
      const notes = await fresh();
      await notes.put("n", { text: "a" }, { expectedVersion: 0, expiresAt: after(-1_000) });
      assert.equal(await notes.get("n", at), undefined);
      await assert.rejects(notes.put("n", { text: "b" }, { expectedVersion: 0 }), conflict(1));
      await notes.sweep(at);
      assert.equal(await notes.put("n", { text: "b" }, { expectedVersion: 0 }), 1);
    });

    it("deletes many, and accepts an empty list", async () => {
      const notes = await fresh();
      const ids = Array.from({ length: 1_500 }, (_, n) => `n${n}`);
      await Promise.all(
        ids.map((id, n) => notes.put(id, { text: id }, { expectedVersion: 0, ...(n % 2 === 0 && { expiresAt: after(n) }) })),
      );
      await notes.delete();
      await notes.delete(...ids.slice(0, 1_400), "none", "n0");
      assert.equal(await notes.get("n0", at), undefined);
      assert.equal((await notes.get("n1401", at))?.version, 1);
      assert.equal(await notes.sweep(after(10_000)), 50);
    });

    it("deletes, and ignores an id that does not exist", async () => {
      const notes = await fresh();
      await notes.delete("n");
      await notes.put("n", { text: "a" }, { expectedVersion: 0 });
      await notes.delete("n");
      await notes.delete("n");
      assert.equal(await notes.get("n", at), undefined);
      await assert.rejects(notes.put("n", { text: "late" }, { expectedVersion: 1 }), conflict(0));
      assert.equal(await notes.put("n", { text: "new" }, { expectedVersion: 0 }), 1);
    });
  });
}
