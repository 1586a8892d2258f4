import { randomUUID } from "node:crypto";
import fc from "fast-check";
import type { Search, SearchDocument, SearchIndex, SearchQuery } from "./search.ts";

/** How the suite of the search seam opens an engine. */
export interface SearchContract {
  /** Opens a search; the engine may be shared, because each test has an index of its own. */
  readonly open: () => Promise<Search>;
  /** Resolves when writes can be seen; at once by default. */
  readonly settle?: (index: string) => Promise<void>;
  /** How often a property is checked: 12 by default. */
  readonly runs?: number;
}

/** Words that are far from each other, none the beginning of another, and their own stems. */
export const words = ["kobaltu", "zirandok", "maquip", "wexforn", "tulgrad", "ophibar"] as const;
const values = ["one", "two", 'it\'s \\ "three" & !four | :*', "Grün 5"] as const;
export const relevance = [{ by: "relevance" }] as const;

/** An index of a test's own with these documents, which can be found. */
export async function filledIndex(
  { open, settle }: { readonly open: () => Promise<Search>; readonly settle: (index: string) => Promise<void> },
  documents: readonly SearchDocument[],
): Promise<SearchIndex> {
  const id = `test-${randomUUID()}`;
  const index = (await open()).index(id);
  await index.put(documents);
  await settle(id);
  return index;
}

/** A document with just these facts. */
export function document(facts: Partial<SearchDocument> & { readonly id: string }): SearchDocument {
  return { version: 1, text: { a: "", b: "", c: "" }, keywords: {}, numbers: {}, ...facts };
}

const randomText = fc.array(fc.constantFrom(...words), { maxLength: 4 }).map((some) => some.join(" "));
const randomNumbers = fc.uniqueArray(fc.integer({ min: -50, max: 50 }), { maxLength: 3 }); // few enough for equal ones
const randomValues = fc.uniqueArray(fc.constantFrom(...values), { maxLength: 2 });

/** Documents that differ little. */
export const randomDocuments: fc.Arbitrary<SearchDocument[]> = fc
  .array(
    fc.record({
      text: fc.record({ a: randomText, b: randomText, c: randomText }),
      keywords: fc.record({ category: randomValues, company: randomValues }),
      numbers: fc.record({ price: randomNumbers, weight: randomNumbers }),
    }),
    { minLength: 1, maxLength: 80, size: "max" },
  )
  .map((documents) => documents.map((facts, n) => document({ id: `prd_${(n * 37) % 101}`, ...facts })));

const randomRange = fc
  .record({ min: fc.integer({ min: -60, max: 10 }), max: fc.integer({ min: -10, max: 60 }) }, { requiredKeys: [] })
  .map(({ min, max }) => ({ ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) }));

/** Queries that such documents match. */
export const randomQuery: fc.Arbitrary<SearchQuery> = fc
  .record({
    // The last word may be typed only in part.
    text: fc.option(
      fc
        .tuple(fc.array(fc.constantFrom(...words), { minLength: 1, maxLength: 2 }), fc.integer({ min: 3, max: 9 }))
        .map(([some, length]) => [...some.slice(0, -1), some.at(-1)!.slice(0, length)].join(" ")),
      { nil: undefined },
    ),
    keywords: fc.oneof(
      fc.constant({}),
      fc.record({ category: fc.uniqueArray(fc.constantFrom(...values), { minLength: 1 }) }),
      fc.record({ category: fc.constant(values), company: fc.uniqueArray(fc.constantFrom(...values), { minLength: 2 }) }),
    ),
    ranges: fc.oneof(fc.constant({}), fc.record({ price: randomRange }), fc.record({ price: randomRange, weight: randomRange })),
    sort: fc.uniqueArray(fc.record({ by: fc.constantFrom("price", "weight", "none", "relevance"), descending: fc.boolean() }), {
      selector: ({ by }) => by,
      maxLength: 3,
    }),
  })
  .map(({ text, sort, ...filters }) => ({
    ...(text === undefined ? {} : { text }),
    ...filters,
    sort: sort.flatMap(({ by, descending }): SearchQuery["sort"] =>
      by !== "relevance" ? [{ by, descending }] : text === undefined ? [] : relevance,
    ),
    limit: 100,
  }));

/** The ids of matching documents by a naive search, sorted by numbers and id alone. */
export function naive(documents: readonly SearchDocument[], { text, keywords = {}, ranges = {}, sort }: SearchQuery): string[] {
  const typed = text?.split(" ") ?? [];
  const matching = documents.filter((one) => {
    const contained = new Set(Object.values(one.text).flatMap((part) => part.split(" ")));
    return (
      typed.every(
        (word, at) => contained.has(word) || (at === typed.length - 1 && [...contained].some((other) => other.startsWith(word))),
      ) &&
      Object.entries(keywords).every(([name, wanted]) => wanted.some((value) => one.keywords[name]?.includes(value))) &&
      Object.entries(ranges).every(([field, { min = -Infinity, max = Infinity }]) =>
        one.numbers[field]?.some((number) => number >= min && number <= max),
      )
    );
  });
  const keys = (one: SearchDocument): (number | string)[] => [
    ...sort.flatMap((key) => {
      if (!("descending" in key)) return [];
      const numbers = one.numbers[key.by] ?? [];
      return [numbers.length === 0 ? Infinity : Math.min(...numbers) * (key.descending ? -1 : 1)];
    }),
    one.id,
  ];
  return matching.toSorted((one, other) => compare(keys(one), keys(other))).map(({ id }) => id);
}

function compare(one: readonly (number | string)[], other: readonly (number | string)[]): number {
  const at = one.findIndex((key, n) => key !== other[n]);
  return at === -1 ? 0 : one[at]! < other[at]! ? -1 : 1;
}

/** The values of a keyword in documents with these ids, and how often each occurs. */
export function naiveFacet(documents: readonly SearchDocument[], ids: readonly string[], name: string): { value: string; count: number }[] {
  const counts = new Map<string, number>();
  for (const one of documents)
    if (ids.includes(one.id)) for (const value of one.keywords[name] ?? []) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts]
    .map(([value, count]) => ({ value, count }))
    .toSorted((one, other) => other.count - one.count || compare([one.value], [other.value]));
}
