import { byBytes, firstOf } from "./first-of.ts";
import type { Matches } from "./index-copy.ts";
import type { Position } from "./search-cursor.ts";
import type { SearchQuery } from "./search.ts";

type Key = (slot: number) => number;

/** One page of the matches after `from`, in order, with one more than the limit when there is another page. */
export function copiedPage(matches: Matches, { sort, limit }: SearchQuery, from: Position | undefined): Position[] {
  const { documents, slots } = matches;
  // What is not shown needs no order.
  if (limit === 0) return Array.from(slots.subarray(0, 1), (slot) => ({ keys: [], id: documents.idOf(slot) }));
  const keys = sort.flatMap((one) => ("descending" in one ? [documents.sortKey(one)] : relevance(matches)));
  const compare = (one: number, other: number): number => {
    for (const key of keys) {
      const difference = key(one) - key(other);
      if (difference !== 0) return difference;
    }
    return byBytes(documents.idOf(one), documents.idOf(other));
  };
  const left = from === undefined ? slots : slots.filter(after(keys, (slot) => documents.idOf(slot), from));
  return firstOf(left, compare, limit + 1).map((slot) => ({ keys: keys.map((key) => String(key(slot))), id: documents.idOf(slot) }));
}

function relevance({ documents, tiers }: Matches): Key[] {
  return [(slot) => tiers?.[slot] ?? 0, (slot) => documents.titleWordsOf(slot)];
}

function after(keys: readonly Key[], idOf: (slot: number) => string, from: Position): (slot: number) => boolean {
  const values = from.keys.map(Number);
  return (slot) => {
    for (const [nth, key] of keys.entries()) {
      const difference = key(slot) - values[nth]!;
      if (difference !== 0) return difference > 0;
    }
    return byBytes(idOf(slot), from.id) > 0;
  };
}
