/** The first `max` of these in order. For few of many: all are compared with the last of them, and most with no other. */
export function firstOf<Item>(items: Iterable<Item>, compare: (one: Item, other: Item) => number, max: number): Item[] {
  const first: Item[] = [];
  for (const item of items) {
    if (first.length === max && (max === 0 || compare(item, first[max - 1]!) >= 0)) continue;
    let from = 0;
    for (let to = first.length; from < to;) {
      const middle = (from + to) >>> 1;
      if (compare(item, first[middle]!) < 0) to = middle;
      else from = middle + 1;
    }
    first.splice(from, 0, item);
    if (first.length > max) first.pop();
  }
  return first;
}

/** Compares texts by their UTF-8 bytes, as PostgreSQL's collation "C" does. */
export function byBytes(one: string, other: string): number {
  const end = Math.min(one.length, other.length);
  for (let at = 0; at < end; at++) {
    const [left, right] = [one.charCodeAt(at), other.charCodeAt(at)];
    if (left !== right) return ranked(left) - ranked(right);
  }
  return one.length - other.length;
}

/** The halves of characters beyond U+FFFF come after all others. */
function ranked(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
