import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { byBytes, firstOf } from "./first-of.ts";
import { NumberLists } from "./number-lists.ts";

const list = fc.array(fc.nat(9), { maxLength: 4 });

describe("lists of numbers", () => {
  it("give back what was set last, however often, and count it", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.nat(40).map((slot) => slot * 97),
            list,
          ),
          { maxLength: 300, size: "max" },
        ),
        (changes) => {
          const lists = new NumberLists();
          const expected = new Map<number, readonly number[]>();
          for (const [slot, numbers] of changes) {
            lists.set(slot, numbers);
            expected.set(slot, numbers);
          }
          const slots = Uint32Array.of(...expected.keys(), 1, 1e6);
          const all = [...expected.values()].flat();
          for (const [slot, numbers] of expected) assert.equal(lists.first(slot), numbers[0]);
          assert.deepEqual(
            [...lists.counts(slots, 10)],
            Array.from({ length: 10 }, (_, wanted) => all.filter((number) => number === wanted).length),
          );
          assert.deepEqual(
            [...lists.withAny(slots, (number) => number > 6)],
            [...expected.keys()].filter((slot) => expected.get(slot)!.some((number) => number > 6)),
          );
        },
      ),
    );
  });
});

describe("the first of many", () => {
  it("are those that sorting all of them gives", () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), fc.nat(12), (numbers, max) => {
        const compare = (one: number, other: number) => one - other;
        assert.deepEqual(firstOf(numbers, compare, max), numbers.toSorted(compare).slice(0, max));
      }),
    );
  });

  it("texts are compared by their bytes", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.array(fc.constantFrom("a", "\ud7ff", "\ue000", "\uffff", "😀", "😁"), { maxLength: 3 }).map((some) => some.join("")),
    );
    fc.assert(
      fc.property(text, text, (one, other) => {
        assert.equal(Math.sign(byBytes(one, other)), Buffer.compare(Buffer.from(one), Buffer.from(other)));
      }),
    );
  });
});
