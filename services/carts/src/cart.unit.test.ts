import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { addUnits, cartKey, closed, mergeLines, mayAccess, removeLine, removeOrdered, reopened, setQuantity, take } from "./cart.ts";
import type { StoredCart } from "./cart.ts";

const empty: StoredCart = { currency: "EUR", customer: null, lines: [] };

function ids(): () => string {
  let made = 0;
  return () => `lin_${++made}`;
}

function filled(units: readonly (readonly [sku: string, quantity: number])[], newId = ids()): StoredCart {
  return units.reduce<StoredCart>((cart, [sku, quantity]) => addUnits(cart, { sku, quantity, newId }), empty);
}

function refused(reason: string): (error: unknown) => boolean {
  return (error) => refusalIn(error)?.reason === reason;
}

describe("cart", () => {
  it("CART-01: puts a SKU on one line, changes its quantity, takes it off", () => {
    const cart = filled([
      ["A", 2],
      ["B", 1],
      ["A", 3],
    ]);
    assert.deepEqual(cart.lines, [
      { id: "lin_1", sku: "A", quantity: 5 },
      { id: "lin_2", sku: "B", quantity: 1 },
    ]);
    assert.deepEqual(setQuantity(cart, "lin_2", 7).lines[1], { id: "lin_2", sku: "B", quantity: 7 });
    assert.deepEqual(removeLine(cart, "lin_1").lines, [{ id: "lin_2", sku: "B", quantity: 1 }]);
    assert.equal(removeLine(cart, "lin_9"), cart);
    assert.throws(() => setQuantity(cart, "lin_9", 1), refused("NOT_FOUND"));
  });

  it("holds 100 different things, and 10,000 units of each", () => {
    const newId = ids();
    const cart = filled(
      Array.from({ length: 100 }, (_, at) => [`S${at}`, 1] as const),
      newId,
    );
    assert.throws(() => addUnits(cart, { sku: "one more", quantity: 1, newId }), refused("CART_FULL"));
    const most = addUnits(cart, { sku: "S0", quantity: 9_999, newId });
    assert.equal(most.lines[0]!.quantity, 10_000);
    assert.throws(() => addUnits(most, { sku: "S0", quantity: 1, newId }), refused("CART_FULL"));
    assert.throws(() => setQuantity(cart, "lin_1", 10_001), refused("CART_FULL"));
  });

  it("ID-14: is accessible to its account only, and a guest's to everyone who knows its id", () => {
    assert.deepEqual(
      [undefined, "usr_1", "usr_2"].map((account) => mayAccess(empty, account)),
      [true, true, true],
    );
    const taken = take(empty, "usr_1");
    assert.deepEqual(
      [undefined, "usr_1", "usr_2"].map((account) => mayAccess(taken, account)),
      [false, true, false],
    );
    assert.equal(take(taken, "usr_1"), taken);
  });

  it("has a key that does not reveal its id", () => {
    assert.match(cartKey("crt_secret"), /^[\w-]{43}$/);
    assert.notEqual(cartKey("crt_secret"), cartKey("crt_secret2"));
  });

  it("merges lines SKU by SKU, refuses another currency and what does not fit", () => {
    const newId = ids();
    const into = filled([["A", 2]], newId);
    const from = filled(
      [
        ["A", 3],
        ["B", 1],
      ],
      newId,
    );
    const merged = mergeLines(into, { key: "k1", cart: from, newId });
    assert.deepEqual(
      merged.lines.map(({ sku, quantity }) => [sku, quantity]),
      [
        ["A", 5],
        ["B", 1],
      ],
    );
    const dollars = { ...from, currency: "USD" };
    assert.throws(() => mergeLines(into, { key: "k2", cart: dollars, newId }), refused("CURRENCY_MISMATCH"));
    assert.deepEqual(mergeLines(into, { key: "k2", cart: { ...dollars, lines: [] }, newId }).lines, into.lines);
    assert.throws(() => mergeLines(into, { key: "k3", cart: filled([["A", 9_999]]), newId }), refused("CART_FULL"));
  });

  it("is closed while it is merged, and can be reopened", () => {
    const cart = closed(empty, "k1");
    assert.equal(cart.mergingInto, "k1");
    assert.equal(closed(cart, "k1"), cart);
    assert.deepEqual(reopened(cart), empty);
    assert.equal(reopened(empty), empty);
  });

  it("loses what was ordered once per order, and keeps what was added since", () => {
    const newId = ids();
    const cart = filled(
      [
        ["A", 3],
        ["B", 1],
      ],
      newId,
    );
    const lines = [
      { sku: "A", quantity: 1 },
      { sku: "B", quantity: 2 },
      { sku: "A", quantity: 1 },
      { sku: "C", quantity: 1 },
    ];
    const left = removeOrdered(cart, { order: "ord_1", lines });
    assert.deepEqual(
      left.lines.map(({ sku, quantity }) => [sku, quantity]),
      [["A", 1]],
    );
    assert.equal(removeOrdered(left, { order: "ord_1", lines }), left);
    assert.deepEqual(removeOrdered(left, { order: "ord_2", lines }).lines, []);
  });

  it("counts the lines of each cart once, however often it is merged and in whatever order", () => {
    const units = fc.array(fc.tuple(fc.constantFrom("A", "B", "C"), fc.integer({ min: 1, max: 50 })), { maxLength: 5 });
    fc.assert(
      fc.property(fc.array(units, { minLength: 1, maxLength: 5 }), fc.array(fc.nat(4), { maxLength: 20 }), (contents, order) => {
        const newId = ids();
        const sources = contents.map((lines) => filled(lines, newId));
        const used = order.filter((at) => at < sources.length);
        const cart = used.reduce((into, at) => mergeLines(into, { key: `k${at}`, cart: sources[at]!, newId }), empty);
        for (const sku of ["A", "B", "C"]) {
          const expected = [...new Set(used)].flatMap((at) => contents[at]!).filter((line) => line[0] === sku);
          assert.equal(
            cart.lines.find((line) => line.sku === sku)?.quantity ?? 0,
            expected.reduce((sum, [, quantity]) => sum + quantity, 0),
          );
        }
      }),
    );
  });
});
