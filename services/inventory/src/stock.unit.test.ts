import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { available, moved, outOfStock, shortages, sumBySku } from "./stock.ts";
import type { Level } from "./stock.ts";

const level = (sku: string, onHand: number, reserved = 0): Level => ({ sku, onHand, reserved, version: 1 });

describe("stock", () => {
  it("counts as available what is in the warehouse and not set aside, and nothing of an unknown SKU", () => {
    assert.equal(available(level("A", 10, 3)), 7);
    assert.equal(available(undefined), 0);
  });

  it("R3: counts a SKU on two lines once, with the sum of both", () => {
    const lines = [
      { sku: "A", quantity: 1 },
      { sku: "B", quantity: 2 },
      { sku: "A", quantity: 3 },
    ];
    assert.deepEqual(sumBySku(lines), [
      { sku: "A", quantity: 4 },
      { sku: "B", quantity: 2 },
    ]);
  });

  it("names each line that cannot be had, with what there is", () => {
    const levels = new Map([
      ["A", level("A", 5, 5)],
      ["B", level("B", 5, 3)],
      ["owed", level("owed", 1, 4)],
    ]);
    const lines = [
      { sku: "A", quantity: 1 },
      { sku: "B", quantity: 2 },
      { sku: "C", quantity: 1 },
      { sku: "owed", quantity: 1 },
    ];
    assert.deepEqual(shortages(levels, lines), [
      { sku: "A", asked: 1, available: 0 },
      { sku: "C", asked: 1, available: 0 },
      { sku: "owed", asked: 1, available: 0 },
    ]);
    const refusal = refusalIn(outOfStock(shortages(levels, lines)));
    assert.equal(refusal?.reason, "OUT_OF_STOCK");
    assert.deepEqual(refusal?.details, { lines: shortages(levels, lines) });
  });

  it("moves units the way that each kind of change goes", () => {
    const before = level("A", 10, 4);
    const after = (kind: Parameters<typeof moved>[1]) => {
      const { onHand, reserved } = moved(before, kind, 3);
      return [onHand, reserved];
    };
    assert.deepEqual(after("RECEIVED"), [13, 4]);
    assert.deepEqual(after("RETURNED"), [13, 4]);
    assert.deepEqual(after("WRITTEN_OFF"), [7, 4]);
    assert.deepEqual(after("RESERVED"), [10, 7]);
    assert.deepEqual(after("RELEASED"), [10, 1]);
    assert.deepEqual(after("CLAIMED"), [7, 1]);
  });
});
