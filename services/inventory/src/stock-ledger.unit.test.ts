import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { StockLedger } from "./stock-ledger.ts";
import type { StockChange, StoredReservation } from "./stock-ledger.ts";
import { moved, onHandMax } from "./stock.ts";
import type { Level, Units } from "./stock.ts";

const later = new Date("2026-03-03T10:00:00Z");
const one = (sku: string, quantity = 1): Units => ({ sku, quantity });

function ledgerOf(stock: Readonly<Record<string, number>>, reservations: readonly StoredReservation[] = []): StockLedger {
  return new StockLedger(
    Object.entries(stock).map(([sku, onHand]) => ({ sku, onHand, reserved: 0, version: 1 })),
    reservations,
  );
}

function units(ledger: StockLedger, sku: string): readonly [onHand: number, reserved: number] {
  const { onHand, reserved } = ledger.levels.get(sku)!;
  return [onHand, reserved];
}

function kinds(ledger: StockLedger): string[] {
  return ledger.changes.map(({ kind, sku, orders }) => `${kind} ${orders.reduce((sum, { quantity }) => sum + quantity, 0)} ${sku}`);
}

describe("stock ledger", () => {
  it("R3: sets all lines aside or none, a SKU on two lines counted once", () => {
    const ledger = ledgerOf({ A: 3, B: 1 });
    assert.equal(ledger.reserve("o1", [one("A", 2), one("A", 2)], later).status, "REFUSED");
    assert.equal(ledger.reserve("o2", [one("A", 1), one("B", 2)], later).status, "REFUSED");
    assert.deepEqual(ledger.changes, []);
    assert.deepEqual(ledger.reserve("o3", [one("A", 1), one("B", 1), one("A", 2)], later).lines, [one("A", 3), one("B", 1)]);
    assert.deepEqual(
      [units(ledger, "A"), units(ledger, "B")],
      [
        [3, 3],
        [1, 1],
      ],
    );
  });

  it("INV-04: a repeat gets the first response, a refusal too, whatever has happened since", () => {
    const ledger = ledgerOf({ A: 1 });
    const held = ledger.reserve("o1", [one("A")], later);
    const refused = ledger.reserve("o2", [one("A")], later);
    assert.deepEqual(refused.refusal, [{ sku: "A", asked: 1, available: 0 }]);
    assert.equal(ledger.reserve("o1", [one("A")], later), held);
    ledger.release("o1");
    assert.equal(ledger.reserve("o2", [one("A")], later), refused);
    assert.equal(ledger.reserve("o1", [one("A")], later).status, "FREED");
    assert.deepEqual(units(ledger, "A"), [1, 0]);
  });

  it("gathers neighbours of one kind and SKU in one change with one version", () => {
    const ledger = ledgerOf({ A: 10, B: 10 });
    ledger.reserve("o1", [one("A"), one("B", 2)], later);
    ledger.reserve("o2", [one("A", 3)], later);
    ledger.claim("o1", []);
    assert.deepEqual(kinds(ledger), ["RESERVED 4 A", "RESERVED 2 B", "CLAIMED 1 A", "CLAIMED 2 B"]);
    assert.deepEqual(ledger.changes[0]!.orders, [
      { order: "o1", quantity: 1 },
      { order: "o2", quantity: 3 },
    ]);
    assert.deepEqual(
      ledger.changes.map(({ after }) => after.version),
      [2, 2, 3, 3],
    );
    assert.equal(ledger.levels.get("A")!.version, 3);
  });

  it("a release before its reservation is a tombstone that refuses it; a payment may still claim", () => {
    const ledger = ledgerOf({ A: 1 });
    ledger.release("o1");
    assert.equal(ledger.reserve("o1", [one("A")], later).status, "FREED");
    assert.deepEqual(units(ledger, "A"), [1, 0]);
    ledger.claim("o1", [one("A")]);
    assert.deepEqual(units(ledger, "A"), [0, 0]);
  });

  it("R4: a claim after expiry takes free units again; when none are free it is refused for good", () => {
    const ledger = ledgerOf({ A: 2 });
    ledger.reserve("o1", [one("A", 2)], later);
    ledger.release("o1");
    ledger.reserve("o2", [one("A")], later);
    ledger.claim("o1", [one("A", 2)]);
    assert.deepEqual(ledger.refusedClaims, ["o1"]);
    ledger.release("o2");
    // Its payment is on the way back by now.
    ledger.claim("o1", [one("A", 2)]);
    ledger.cancel("o1");
    assert.deepEqual(ledger.refusedClaims, ["o1"]);
    assert.deepEqual(units(ledger, "A"), [2, 0]);

    const lucky = ledgerOf({ A: 2 });
    lucky.reserve("o1", [one("A", 2)], later);
    lucky.release("o1");
    lucky.claim("o1", [one("A", 2)]);
    assert.deepEqual(kinds(lucky), ["RESERVED 2 A", "RELEASED 2 A", "RESERVED 2 A", "CLAIMED 2 A"]);
    assert.deepEqual(units(lucky, "A"), [0, 0]);
  });

  it("INV-06: gives back what was held or sold, once, and moves nothing for the order afterwards", () => {
    for (const sold of [false, true]) {
      const ledger = ledgerOf({ A: 5 });
      ledger.reserve("o1", [one("A", 2)], later);
      if (sold) ledger.claim("o1", [one("A", 2)]);
      ledger.cancel("o1");
      assert.deepEqual(units(ledger, "A"), [5, 0]);
      const before = ledger.changes.length;
      ledger.cancel("o1");
      ledger.claim("o1", [one("A", 2)]);
      ledger.release("o1");
      assert.equal(ledger.reserve("o1", [one("A", 2)], later).status, "CLOSED");
      assert.equal(ledger.changes.length, before);
    }
  });

  it("a cancelled order that was never reserved can be neither reserved nor claimed", () => {
    const ledger = ledgerOf({ A: 5 });
    ledger.cancel("o1");
    ledger.claim("o1", [one("A")]);
    assert.equal(ledger.reserve("o1", [one("A")], later).status, "CLOSED");
    assert.deepEqual(units(ledger, "A"), [5, 0]);
    assert.deepEqual(ledger.refusedClaims, []);
  });

  it("writes off no more than is free, and counts no further than it can", () => {
    const ledger = ledgerOf({ A: 3 });
    ledger.reserve("o1", [one("A", 2)], later);
    assert.throws(
      () => ledger.move("WRITTEN_OFF", one("A", 2)),
      (error) => refusalIn(error)?.reason === "OUT_OF_STOCK",
    );
    ledger.move("WRITTEN_OFF", one("A", 1));
    assert.deepEqual(units(ledger, "A"), [2, 2]);
    assert.throws(
      () => ledger.move("RECEIVED", one("A", onHandMax - 1)),
      (error) => refusalIn(error)?.fields[0]?.field === "quantity",
    );
  });

  it("refuses to move stock that is not locked", () => {
    const ledger = new StockLedger([], [{ order: "o1", status: "HELD", lines: [one("A")], expiresAt: later, refusal: null }]);
    assert.throws(() => ledger.release("o1"), /A is not in the ledger/);
  });

  it("returns which reservations changed, and what each was before", () => {
    const ledger = ledgerOf({ A: 5 }, [{ order: "o1", status: "FREED", lines: [one("A")], expiresAt: later, refusal: null }]);
    ledger.claim("o1", [one("A")]);
    ledger.cancel("o1");
    ledger.reserve("o2", [one("A")], later);
    ledger.claim("o2", [one("A")]);
    ledger.reserve("o3", [one("A", 99)], later);
    assert.deepEqual(Object.fromEntries(ledger.changed), { o1: "FREED", o2: undefined, o3: undefined });
  });

  it("I1 INV-01 INV-04 INV-06 CON-02: whatever is requested in whatever order and however often, the ledger is right", () => {
    fc.assert(
      fc.property(fc.array(fc.array(command, { minLength: 1, maxLength: 6 }), { maxLength: 30 }), (batches) => {
        const store = new Store();
        for (const batch of batches) {
          store.do(batch);
          store.check();
          // Again, in a transaction of its own, as after an unknown outcome.
          assert.deepEqual(store.do(batch.filter(({ kind }) => kind !== "move").slice(-1)), []);
        }
      }),
      { numRuns: Number(process.env["KONTOR_LEDGER_RUNS"] ?? 1_000) },
    );
  });
});

type Command =
  | { readonly kind: "reserve" | "claim"; readonly order: string; readonly lines: readonly Units[] }
  | { readonly kind: "release" | "cancel"; readonly order: string }
  | { readonly kind: "move"; readonly way: "RECEIVED" | "WRITTEN_OFF"; readonly units: Units };

const sku = fc.constantFrom("A", "B", "C");
const order = fc.constantFrom("o1", "o2", "o3", "o4");
const line = fc.record({ sku, quantity: fc.integer({ min: 1, max: 4 }) });
const lines = fc.array(line, { minLength: 1, maxLength: 4 });
const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ kind: fc.constantFrom("reserve" as const, "claim" as const), order, lines }),
  fc.record({ kind: fc.constantFrom("release" as const, "cancel" as const), order }),
  fc.record({ kind: fc.constant("move" as const), way: fc.constantFrom("RECEIVED" as const, "WRITTEN_OFF" as const), units: line }),
);

/** What a database would contain, written from one ledger after the other, and all changes ever made. */
class Store {
  levels = new Map<string, Level>(["A", "B", "C"].map((name) => [name, { sku: name, onHand: 0, reserved: 0, version: 0 }]));
  reservations = new Map<string, StoredReservation>();
  readonly changes: StockChange[] = [];
  readonly refusedClaims: string[] = [];

  /** Gives the changes that these commands made. */
  do(commands: readonly Command[]): readonly StockChange[] {
    const ledger = new StockLedger([...this.levels.values()], [...this.reservations.values()]);
    for (const requested of commands)
      switch (requested.kind) {
        case "reserve":
          ledger.reserve(requested.order, requested.lines, later);
          break;
        case "claim":
          ledger.claim(requested.order, requested.lines);
          break;
        case "release":
          ledger.release(requested.order);
          break;
        case "cancel":
          ledger.cancel(requested.order);
          break;
        case "move":
          try {
            ledger.move(requested.way, requested.units);
          } catch (error) {
            assert.equal(refusalIn(error)?.reason, "OUT_OF_STOCK");
          }
      }
    for (const [id, before] of ledger.changed) assert.equal(before, this.reservations.get(id)?.status);
    this.levels = new Map(ledger.levels);
    this.reservations = new Map(ledger.reservations);
    this.changes.push(...ledger.changes);
    this.refusedClaims.push(...ledger.refusedClaims);
    return ledger.changes;
  }

  check(): void {
    for (const [name, level] of this.levels) {
      const changes = this.changes.filter((change) => change.sku === name);
      let replayed: Level = { sku: name, onHand: 0, reserved: 0, version: 0 };
      for (const { kind, orders, after } of changes) {
        for (const { quantity } of orders) replayed = moved(replayed, kind, quantity);
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
          changes.filter((change) => change.kind === kind).flatMap(({ orders }) => orders.filter((units) => units.order === id));
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
