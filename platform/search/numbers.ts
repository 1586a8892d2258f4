import type { SearchDocument } from "./search.ts";

/** Stands for an absent number, which sorts last in both directions: beyond all safe integers, and exact as a double. */
export const absentNumber = 2 ** 53;

/** A range in whole numbers, both ends included. */
export function boundsOf({ min, max }: { readonly min?: number; readonly max?: number }): { readonly from: number; readonly to: number } {
  return { from: bound(min, Math.ceil, -absentNumber), to: bound(max, Math.floor, absentNumber) };
}

/** A document's numbers, each list in order and without repetitions. */
export function ascending(numbers: SearchDocument["numbers"]): SearchDocument["numbers"] {
  return Object.fromEntries(
    Object.entries(numbers).map(([name, some]) => [name, [...new Set(some)].toSorted((one, other) => one - other)]),
  );
}

function bound(value: number | undefined, round: (value: number) => number, open: number): number {
  return value === undefined || Number.isNaN(value) ? open : Math.min(absentNumber, Math.max(-absentNumber, round(value)));
}
