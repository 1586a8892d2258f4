import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { Book } from "./book.ts";
import type { BookedChange, BookedReservation } from "./book.ts";
import { moved, onHandMax } from "./stock.ts";
import type { Level, Units } from "./stock.ts";

const later = new Date("2026-03-03T10:00:00Z");
const one = (sku: string, quantity = 1): Units => ({ sku, quantity });

function bookOf(stock: Readonly<Record<string, number>>, reservations: readonly BookedReservation[] = []): Book {
  return new Book(
    Object.entries(stock).map(([sku, onHand]) => ({ sku, onHand, reserved: 0, version: 1 })),
    reservations,
  );
}

function units(book: Book, sku: string): readonly [onHand: number, reserved: number] {
  const { onHand, reserved } = book.levels.get(sku)!;
  return [onHand, reserved];
}

function kinds(book: Book): string[] {
  return book.changes.map(({ kind, sku, parts }) => `${kind} ${parts.reduce((sum, { quantity }) => sum + quantity, 0)} ${sku}`);
}

describe("book", () => {
  it("R3: sets all lines aside or none, a SKU on two lines counted once", () => {
    const book = bookOf({ A: 3, B: 1 });
    assert.equal(book.reserve("o1", [one("A", 2), one("A", 2)], later).status, "REFUSED");
    assert.equal(book.reserve("o2", [one("A", 1), one("B", 2)], later).status, "REFUSED");
    assert.deepEqual(book.changes, []);
    assert.deepEqual(book.reserve("o3", [one("A", 1), one("B", 1), one("A", 2)], later).lines, [one("A", 3), one("B", 1)]);
    assert.deepEqual(
      [units(book, "A"), units(book, "B")],
      [
        [3, 3],
        [1, 1],
      ],
    );
  });

  it("INV-04: a repeat gets the first answer, a refusal too, whatever has happened since", () => {
    const book = bookOf({ A: 1 });
    const held = book.reserve("o1", [one("A")], later);
    const refused = book.reserve("o2", [one("A")], later);
    assert.deepEqual(refused.refusal, [{ sku: "A", asked: 1, available: 0 }]);
    assert.equal(book.reserve("o1", [one("A")], later), held);
    book.free("o1");
    assert.equal(book.reserve("o2", [one("A")], later), refused);
    assert.equal(book.reserve("o1", [one("A")], later).status, "FREED");
    assert.deepEqual(units(book, "A"), [1, 0]);
  });

  it("gathers neighbours of one kind and SKU in one change with one version", () => {
    const book = bookOf({ A: 10, B: 10 });
    book.reserve("o1", [one("A"), one("B", 2)], later);
    book.reserve("o2", [one("A", 3)], later);
    book.claim("o1", []);
    assert.deepEqual(kinds(book), ["RESERVED 4 A", "RESERVED 2 B", "CLAIMED 1 A", "CLAIMED 2 B"]);
    assert.deepEqual(book.changes[0]!.parts, [
      { order: "o1", quantity: 1 },
      { order: "o2", quantity: 3 },
    ]);
    assert.deepEqual(
      book.changes.map(({ after }) => after.version),
      [2, 2, 3, 3],
    );
    assert.equal(book.levels.get("A")!.version, 3);
  });

  it("a release before its reservation is a tombstone that refuses it; a payment may still claim", () => {
    const book = bookOf({ A: 1 });
    book.free("o1");
    assert.equal(book.reserve("o1", [one("A")], later).status, "FREED");
    assert.deepEqual(units(book, "A"), [1, 0]);
    book.claim("o1", [one("A")]);
    assert.deepEqual(units(book, "A"), [0, 0]);
  });

  it("R4: a claim after expiry takes free units again; when they are gone it is refused once and for good", () => {
    const book = bookOf({ A: 2 });
    book.reserve("o1", [one("A", 2)], later);
    book.free("o1");
    book.reserve("o2", [one("A")], later);
    book.claim("o1", [one("A", 2)]);
    assert.deepEqual(book.refusedClaims, ["o1"]);
    book.free("o2");
    // Its payment is on the way back by now.
    book.claim("o1", [one("A", 2)]);
    book.giveBack("o1");
    assert.deepEqual(book.refusedClaims, ["o1"]);
    assert.deepEqual(units(book, "A"), [2, 0]);

    const lucky = bookOf({ A: 2 });
    lucky.reserve("o1", [one("A", 2)], later);
    lucky.free("o1");
    lucky.claim("o1", [one("A", 2)]);
    assert.deepEqual(kinds(lucky), ["RESERVED 2 A", "RELEASED 2 A", "RESERVED 2 A", "CLAIMED 2 A"]);
    assert.deepEqual(units(lucky, "A"), [0, 0]);
  });

  it("INV-06: gives back what was held or sold, once, and moves nothing for the order afterwards", () => {
    for (const sold of [false, true]) {
      const book = bookOf({ A: 5 });
      book.reserve("o1", [one("A", 2)], later);
      if (sold) book.claim("o1", [one("A", 2)]);
      book.giveBack("o1");
      assert.deepEqual(units(book, "A"), [5, 0]);
      const before = book.changes.length;
      book.giveBack("o1");
      book.claim("o1", [one("A", 2)]);
      book.free("o1");
      assert.equal(book.reserve("o1", [one("A", 2)], later).status, "CLOSED");
      assert.equal(book.changes.length, before);
    }
  });

  it("a cancelled order that was never reserved can be neither reserved nor claimed", () => {
    const book = bookOf({ A: 5 });
    book.giveBack("o1");
    book.claim("o1", [one("A")]);
    assert.equal(book.reserve("o1", [one("A")], later).status, "CLOSED");
    assert.deepEqual(units(book, "A"), [5, 0]);
    assert.deepEqual(book.refusedClaims, []);
  });

  it("writes off no more than is free, and counts no further than it can", () => {
    const book = bookOf({ A: 3 });
    book.reserve("o1", [one("A", 2)], later);
    assert.throws(
      () => book.book("WRITTEN_OFF", one("A", 2)),
      (error) => refusalIn(error)?.reason === "OUT_OF_STOCK",
    );
    book.book("WRITTEN_OFF", one("A", 1));
    assert.deepEqual(units(book, "A"), [2, 2]);
    assert.throws(
      () => book.book("RECEIVED", one("A", onHandMax - 1)),
      (error) => refusalIn(error)?.fields[0]?.field === "quantity",
    );
  });

  it("refuses to move stock that is not locked", () => {
    const book = new Book([], [{ order: "o1", status: "HELD", lines: [one("A")], expiresAt: later, refusal: null }]);
    assert.throws(() => book.free("o1"), /A is not in the book/);
  });

  it("tells which reservations changed, and what each was before", () => {
    const book = bookOf({ A: 5 }, [{ order: "o1", status: "FREED", lines: [one("A")], expiresAt: later, refusal: null }]);
    book.claim("o1", [one("A")]);
    book.giveBack("o1");
    book.reserve("o2", [one("A")], later);
    book.claim("o2", [one("A")]);
    book.reserve("o3", [one("A", 99)], later);
    assert.deepEqual(Object.fromEntries(book.changed), { o1: "FREED", o2: undefined, o3: undefined });
  });

  it("I1 INV-01 INV-04 INV-06 CON-02: whatever is asked in whatever order and however often, the books are right", () => {
    fc.assert(
      fc.property(fc.array(fc.array(command, { minLength: 1, maxLength: 6 }), { maxLength: 30 }), (batches) => {
        const world = new World();
        for (const batch of batches) {
          world.do(batch);
          world.check();
          // Again, in a transaction of its own, as after an unknown outcome.
          assert.deepEqual(world.do(batch.filter(({ kind }) => kind !== "book").slice(-1)), []);
        }
      }),
      { numRuns: Number(process.env["KONTOR_BOOK_RUNS"] ?? 1_000) },
    );
  });
});

type Command =
  | { readonly kind: "reserve" | "claim"; readonly order: string; readonly lines: readonly Units[] }
  | { readonly kind: "free" | "giveBack"; readonly order: string }
  | { readonly kind: "book"; readonly way: "RECEIVED" | "WRITTEN_OFF"; readonly units: Units };

const sku = fc.constantFrom("A", "B", "C");
const order = fc.constantFrom("o1", "o2", "o3", "o4");
const line = fc.record({ sku, quantity: fc.integer({ min: 1, max: 4 }) });
const lines = fc.array(line, { minLength: 1, maxLength: 4 });
const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ kind: fc.constantFrom("reserve" as const, "claim" as const), order, lines }),
  fc.record({ kind: fc.constantFrom("free" as const, "giveBack" as const), order }),
  fc.record({ kind: fc.constant("book" as const), way: fc.constantFrom("RECEIVED" as const, "WRITTEN_OFF" as const), units: line }),
);

/** What a database would hold, written from one book after the other, and all changes ever made. */
class World {
  levels = new Map<string, Level>(["A", "B", "C"].map((name) => [name, { sku: name, onHand: 0, reserved: 0, version: 0 }]));
  reservations = new Map<string, BookedReservation>();
  readonly changes: BookedChange[] = [];
  readonly refusedClaims: string[] = [];

  /** Gives the changes that these commands made. */
  do(commands: readonly Command[]): readonly BookedChange[] {
    const book = new Book([...this.levels.values()], [...this.reservations.values()]);
    for (const asked of commands)
      switch (asked.kind) {
        case "reserve":
          book.reserve(asked.order, asked.lines, later);
          break;
        case "claim":
          book.claim(asked.order, asked.lines);
          break;
        case "free":
          book.free(asked.order);
          break;
        case "giveBack":
          book.giveBack(asked.order);
          break;
        case "book":
          try {
            book.book(asked.way, asked.units);
          } catch (error) {
            assert.equal(refusalIn(error)?.reason, "OUT_OF_STOCK");
          }
      }
    for (const [id, before] of book.changed) assert.equal(before, this.reservations.get(id)?.status);
    this.levels = new Map(book.levels);
    this.reservations = new Map(book.reservations);
    this.changes.push(...book.changes);
    this.refusedClaims.push(...book.refusedClaims);
    return book.changes;
  }

  check(): void {
    for (const [name, level] of this.levels) {
      const changes = this.changes.filter((change) => change.sku === name);
      let replayed: Level = { sku: name, onHand: 0, reserved: 0, version: 0 };
      for (const { kind, parts, after } of changes) {
        for (const { quantity } of parts) replayed = moved(replayed, kind, quantity);
        replayed = { ...replayed, version: replayed.version + 1 };
        assert.deepEqual(after, replayed);
        assert.ok(after.reserved >= 0 && after.reserved <= after.onHand);
      }
      assert.deepEqual(level, replayed);
      const held = [...this.reservations.values()].filter(({ status }) => status === "HELD").flatMap((reservation) => reservation.lines);
      assert.equal(
        held.filter((unit) => unit.sku === name).reduce((sum, { quantity }) => sum + quantity, 0),
        level.reserved,
      );
      for (const [id, { status, lines: owned }] of this.reservations) {
        const times = (kind: string) =>
          changes.filter((change) => change.kind === kind).flatMap(({ parts }) => parts.filter((part) => part.order === id));
        const own = owned.find((unit) => unit.sku === name)?.quantity;
        for (const kind of ["RESERVED", "RELEASED", "CLAIMED", "RETURNED"])
          assert.ok(times(kind).every(({ quantity }) => quantity === own));
        assert.ok(times("CLAIMED").length <= 1);
        assert.ok(times("RETURNED").length <= times("CLAIMED").length);
        assert.equal(
          times("RESERVED").length,
          times("RELEASED").length + times("CLAIMED").length + (status === "HELD" && own !== undefined ? 1 : 0),
        );
      }
    }
    assert.equal(new Set(this.refusedClaims).size, this.refusedClaims.length);
  }
}
