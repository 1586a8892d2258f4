import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Refusal } from "../errors/refusal.ts";
import type { Search, SearchDocument, SearchIndex, SearchQuery, SearchResult } from "./search.ts";

export interface SearchContract {
  /** Gives a search; the same engine may be shared, each test has an index of its own. */
  readonly open: () => Promise<Search>;
  /** Resolves when what was put or deleted can be found; at once by default. */
  readonly settle?: (index: string) => Promise<void>;
  /** How many times a property is tried: 12 by default. */
  readonly runs?: number;
}

/** Words that are far from each other, none the begin of another, and their own stems. */
const words = ["kobaltu", "zirandok", "maquip", "wexforn", "tulgrad", "ophibar"] as const;
const values = ["one", "two", 'it\'s \\ "three" & !four | :*', "Grün 5"] as const;
const relevance = [{ by: "relevance" }] as const;

/** What every engine of the search seam must do. */
export function searchContract(name: string, { open, settle = async () => undefined, runs = 12 }: SearchContract): void {
  const filled = async (documents: readonly SearchDocument[]): Promise<SearchIndex> => {
    const id = `test-${randomUUID()}`;
    const index = (await open()).index(id);
    await index.put(documents);
    await settle(id);
    return index;
  };

  describe(`search: ${name}`, () => {
    it("CAT-06: text, keywords and ranges combine; ids, order and facets equal a naive reference on random data", async () => {
      await fc.assert(
        fc.asyncProperty(randomDocuments, fc.array(randomQuery, { minLength: 6, maxLength: 6 }), async (documents, queries) => {
          const index = await filled(documents);
          for (const query of queries) {
            const { ids, facets } = await index.query({ ...query, limit: 100, facets: ["category", "company"] });
            const expected = naive(documents, query);
            const ordered = query.sort.some(({ by }) => by === "relevance") ? [ids.toSorted(), expected.toSorted()] : [ids, expected];
            assert.deepEqual(ordered[0], ordered[1]);
            assert.deepEqual(facets["category"], naiveFacet(documents, expected, "category"));
            assert.deepEqual(facets["company"], naiveFacet(documents, expected, "company"));
          }
        }),
        { numRuns: runs, endOnFailure: true },
      );
    });

    it("CAT-06: pages neither overlap nor miss a document, in any order, while others come and go", async () => {
      await fc.assert(
        fc.asyncProperty(randomDocuments, randomQuery, fc.integer({ min: 1, max: 7 }), async (documents, query, limit) => {
          const index = await filled(documents);
          const all = await index.query({ ...query, limit: 100 });
          assert.equal(all.cursor, undefined);
          const paged: string[] = [];
          for (let cursor: string | undefined; ;) {
            const page: SearchResult = await index.query({ ...query, limit, ...(cursor === undefined ? {} : { cursor }) });
            assert(page.ids.length <= limit);
            paged.push(...page.ids);
            if (paged.length > 0) {
              await index.delete([paged[0]!]);
              await index.put([document({ id: `new-${paged.length}`, keywords: { category: ["none"] } })]);
            }
            if (page.cursor === undefined) break;
            assert.equal(page.ids.length, limit);
            cursor = page.cursor;
          }
          assert.deepEqual(
            paged.filter((id) => !id.startsWith("new-")),
            all.ids,
          );
        }),
        { numRuns: runs, endOnFailure: true },
      );
    });

    it("finds words in other inflections, cases and accents, and by how they begin", async () => {
      const index = await filled([
        document({ id: "shoes", text: { a: "Waterproof running shoes", b: "trail", c: "Light and fast" } }),
        document({ id: "mug", text: { a: "Café-Becher", b: "Küche", c: "Ein großer Becher für viel Kaffee" } }),
        document({ id: "shirt", text: { a: "Men's T-shirt", b: "cotton", c: "Made in Łódź" } }),
      ]);
      for (const [text, id] of [
        ["run shoe", "shoes"],
        ["RUNS", "shoes"],
        ["the running shoe and the trail", "shoes"],
        ["water", "shoes"],
        ["shoe wat", "shoes"],
        ["cafe becher", "mug"],
        ["KUCHE", "mug"],
        ["grosser", "mug"],
        ["mens shirts", "shirt"],
        ["men’s t-shirt", "shirt"],
        ["lodz", "shirt"],
        ["shirt shoes", undefined],
        ["?!", undefined],
      ] as const)
        assert.deepEqual((await index.query({ text, sort: relevance, limit: 10 })).ids, id === undefined ? [] : [id], text);
      assert.equal((await index.query({ text: " ", sort: [], limit: 10 })).ids.length, 3);
    });

    it("finds words with typing errors, pages through them and keeps the filters", async () => {
      const index = await filled([
        ...Array.from({ length: 7 }, (_, n) =>
          document({ id: `shirt-${n}`, text: { a: "Striped shirt", b: "", c: "" }, keywords: { colour: [n < 5 ? "red" : "blue"] } }),
        ),
        document({ id: "backpack", text: { a: "Waterproof backpack", b: "", c: "" } }),
      ]);
      for (const text of ["shrit", "shiirt", "shrt", "shitt", "stirped shrit", "sriped shirt", "strpied shitr"]) {
        const query: SearchQuery = { text, keywords: { colour: ["red"] }, sort: relevance, limit: 3 };
        const first = await index.query({ ...query, facets: ["colour"] });
        assert.deepEqual(first.ids, ["shirt-0", "shirt-1", "shirt-2"], text);
        assert.deepEqual(first.facets, { colour: [{ value: "red", count: 5 }] }, text);
        assert(first.cursor !== undefined);
        const second = await index.query({ ...query, cursor: first.cursor });
        assert.deepEqual(second, { ids: ["shirt-3", "shirt-4"], facets: {} }, text);
      }
      assert.deepEqual((await index.query({ text: "bakcpak", sort: relevance, limit: 3 })).ids, ["backpack"]);
      assert.deepEqual((await index.query({ text: "zzzqqq shirt", sort: relevance, limit: 3 })).ids, []);
    });

    it("puts titles before tags before descriptions", async () => {
      const index = await filled([
        document({ id: "1", text: { a: "Table", b: "oak", c: "Goes well with a lamp" } }),
        document({ id: "2", text: { a: "Table", b: "lamp stand", c: "" } }),
        document({ id: "3", text: { a: "Lamp", b: "", c: "" } }),
        document({ id: "4", text: { a: "Chair", b: "", c: "" } }),
      ]);
      assert.deepEqual((await index.query({ text: "lamp", sort: relevance, limit: 10 })).ids, ["3", "2", "1"]);
    });

    it("never replaces a newer version by an older one, in one batch or many", async () => {
      const id = `test-${randomUUID()}`;
      const index = (await open()).index(id);
      const version = (version: number): SearchDocument =>
        document({ id: "p", version, text: { a: words[version]!, b: "", c: "" }, numbers: { price: [version] } });
      await index.put([version(2), version(3), version(1)]);
      await Promise.all([index.put([version(2)]), index.put([version(4)]), index.put([version(1)])]);
      await index.put([version(3)]);
      await settle(id);
      assert.deepEqual((await index.query({ text: words[4], sort: relevance, limit: 10 })).ids, ["p"]);
      assert.deepEqual((await index.query({ ranges: { price: { min: 4, max: 4 } }, sort: [], limit: 10 })).ids, ["p"]);
      assert.deepEqual((await index.query({ text: words[3], sort: relevance, limit: 10 })).ids, []);
    });

    it("refuses a cursor that was tampered with or is of another query", async () => {
      const index = await filled(Array.from({ length: 5 }, (_, n) => document({ id: `${n}`, numbers: { price: [n] } })));
      const query: SearchQuery = { ranges: { price: { min: 1 } }, sort: [{ by: "price", descending: false }], limit: 2 };
      const { cursor } = await index.query(query);
      assert(cursor !== undefined);
      const changed = Buffer.from(cursor, "base64url").toString().replace("2", "3");
      const others: SearchQuery[] = [
        { ...query, cursor: "" },
        { ...query, cursor: "nonsense" },
        { ...query, cursor: cursor.slice(2) },
        { ...query, cursor: Buffer.from(changed).toString("base64url") },
        { ...query, ranges: { price: { min: 0 } }, cursor },
        { ...query, sort: [{ by: "price", descending: true }], cursor },
        { ...query, sort: [], cursor },
        { ...query, text: words[0], cursor },
        { ...query, keywords: { category: ["one"] }, cursor },
      ];
      for (const other of others)
        await assert.rejects(
          index.query(other),
          (error) => error instanceof Refusal && error.reason === "INVALID_CURSOR",
          JSON.stringify(other),
        );
      assert.deepEqual((await index.query({ ...query, cursor, limit: 10 })).ids, ["3", "4"]);
    });

    it("sorts what has no such number last, either way", async () => {
      const index = await filled([
        document({ id: "a" }),
        document({ id: "b", numbers: { price: [20, 5] } }),
        document({ id: "c", numbers: { price: [10] } }),
        document({ id: "d", numbers: { price: [] } }),
      ]);
      const by = async (descending: boolean): Promise<readonly string[]> =>
        (await index.query({ sort: [{ by: "price", descending }], limit: 10 })).ids;
      assert.deepEqual(await by(false), ["b", "c", "a", "d"]);
      assert.deepEqual(await by(true), ["c", "b", "a", "d"]);
    });

    it("deletes, empties, and keeps indexes apart", async () => {
      const search = await open();
      const [left, right] = [`test-${randomUUID()}`, `test-${randomUUID()}`];
      for (const index of [left, right]) {
        await search.index(index).put(["1", "2", "3"].map((id) => document({ id, text: { a: words[0], b: "", c: "" } })));
        await settle(index);
      }
      const found = async (index: string): Promise<readonly string[]> =>
        (await search.index(index).query({ text: words[0], sort: relevance, limit: 10 })).ids;
      await search.index(left).delete(["2", "4"]);
      await search.index(left).delete([]);
      await settle(left);
      assert.deepEqual(
        [await found(left), await found(right)],
        [
          ["1", "3"],
          ["1", "2", "3"],
        ],
      );
      await search.index(left).rebuild(async () => undefined);
      await settle(left);
      assert.deepEqual([await found(left), await found(right)], [[], ["1", "2", "3"]]);
      await search.index(left).put([document({ id: "2", text: { a: words[0], b: "", c: "" } })]);
      await settle(left);
      assert.deepEqual(await found(left), ["2"]);
    });

    it("takes a newer version of what was deleted, and of what never was there", async () => {
      const id = `test-${randomUUID()}`;
      const index = (await open()).index(id);
      await index.put([document({ id: "1", version: 5 })]);
      await index.delete(["1", "2"]);
      await index.put([document({ id: "1", version: 6 }), document({ id: "2", version: 1 })]);
      await settle(id);
      assert.deepEqual((await index.query({ sort: [], limit: 10 })).ids, ["1", "2"]);
    });

    it("CAT-07: is rebuilt while it answers, and takes what is put and deleted meanwhile", async () => {
      const index = await filled(["1", "2", "3", "4", "old"].map((id) => document({ id, version: 2, numbers: { price: [1] } })));
      const query: SearchQuery = { sort: [], limit: 10 };
      await index.rebuild(async (documents) => {
        assert.deepEqual((await index.query(query)).ids, ["1", "2", "3", "4", "old"]);
        // The same version in another shape, as after a change of what is indexed.
        await documents.put(["1", "2"].map((id) => document({ id, version: 2, numbers: { price: [2] } })));
        await index.put([document({ id: "1", version: 3, numbers: { price: [3] } }), document({ id: "new", numbers: { price: [3] } })]);
        await index.delete(["4"]);
        const { ids } = await index.query(query);
        for (const id of ["1", "2", "3", "new", "old"]) assert(ids.includes(id), id);
        assert(!ids.includes("4"));
        // What was read before somebody else has put something newer.
        await documents.put(["1", "3", "gone"].map((id) => document({ id, version: 2, numbers: { price: [2] } })));
        await documents.delete(["gone"]);
      });
      assert.deepEqual((await index.query(query)).ids, ["1", "2", "3", "new"]);
      assert.deepEqual((await index.query({ ...query, ranges: { price: { min: 3 } } })).ids, ["1", "new"]);
      assert.deepEqual((await index.query({ ...query, ranges: { price: { max: 1 } } })).ids, []);
    });

    it("a rebuild that fails leaves everything there; of two at a time the later one counts, and both end", async () => {
      const index = await filled(["1", "2"].map((id) => document({ id })));
      const ids = async (): Promise<readonly string[]> => (await index.query({ sort: [], limit: 10 })).ids;
      await assert.rejects(
        index.rebuild(async (documents) => {
          await documents.put([document({ id: "1" })]);
          throw new Error("half way");
        }),
        /half way/,
      );
      assert.deepEqual(await ids(), ["1", "2"]);
      await index.rebuild(async (earlier) => {
        await earlier.put([document({ id: "1" })]);
        await index.rebuild((later) => later.put(["2", "3"].map((id) => document({ id }))));
        await earlier.put([document({ id: "2" })]);
      });
      assert((await ids()).includes("2") && (await ids()).includes("3"));
      await index.put([document({ id: "4" })]);
      await index.rebuild((documents) => documents.put([document({ id: "5" })]));
      assert.deepEqual(await ids(), ["5"]);
    });

    it("answers every query while it is rebuilt again and again", async () => {
      const all = ["1", "2", "3"].map((id) => document({ id }));
      const index = await filled(all);
      let over = false;
      const asking = Array.from({ length: 3 }, async () => {
        while (!over) assert.deepEqual((await index.query({ sort: [], limit: 10 })).ids, ["1", "2", "3"]);
      });
      const rebuilding = async (): Promise<void> => {
        for (let time = 0; time < 4; time++) await index.rebuild((documents) => documents.put(all));
      };
      await Promise.all([...asking, rebuilding().finally(() => (over = true))]);
    });

    it("SEC-03: takes any text as words, keywords and values, and finds by it only what holds it", async () => {
      const nasty = [
        "' or 1=1 --",
        "\\",
        "a:*",
        "!b",
        "(",
        "<->",
        "'; drop table search_documents; --",
        "$1",
        "%",
        '"',
        "\u0000",
        "\ud800",
        "{}",
        "__proto__",
      ];
      const index = await filled(nasty.map((value, n) => document({ id: `${n}`.padStart(2, "0"), keywords: { value: [value] } })));
      for (const [n, value] of nasty.entries()) {
        const { ids } = await index.query({ keywords: { value: [value] }, sort: [], limit: 100 });
        assert.deepEqual(ids, [`${n}`.padStart(2, "0")], value);
        await index.query({ text: value, keywords: { value: [value] }, sort: [], limit: 1, facets: ["value"] });
        if (value === "\u0000") continue; // names are the house's own: text, but any
        await index.query({
          keywords: { [value]: [value] },
          sort: [{ by: value, descending: true }],
          ranges: { [value]: { min: 1 } },
          limit: 1,
          facets: [value],
        });
      }
    });
  });
}

function document(facts: Partial<SearchDocument> & { readonly id: string }): SearchDocument {
  return { version: 1, text: { a: "", b: "", c: "" }, keywords: {}, numbers: {}, ...facts };
}

const randomText = fc.array(fc.constantFrom(...words), { maxLength: 4 }).map((some) => some.join(" "));
const randomNumbers = fc.uniqueArray(fc.integer({ min: -50, max: 50 }), { maxLength: 3 }); // few enough for equal ones
const randomValues = fc.uniqueArray(fc.constantFrom(...values), { maxLength: 2 });

/** Documents with little to tell them apart. */
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

/** The ids of what matches, sorted by numbers and id alone. */
function naive(documents: readonly SearchDocument[], { text, keywords = {}, ranges = {}, sort }: SearchQuery): string[] {
  const typed = text?.split(" ") ?? [];
  const matching = documents.filter((one) => {
    const held = new Set(Object.values(one.text).flatMap((part) => part.split(" ")));
    return (
      typed.every((word, at) => held.has(word) || (at === typed.length - 1 && [...held].some((other) => other.startsWith(word)))) &&
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

function naiveFacet(documents: readonly SearchDocument[], ids: readonly string[], name: string): { value: string; count: number }[] {
  const counts = new Map<string, number>();
  for (const one of documents)
    if (ids.includes(one.id)) for (const value of one.keywords[name] ?? []) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts]
    .map(([value, count]) => ({ value, count }))
    .toSorted((one, other) => other.count - one.count || compare([one.value], [other.value]));
}
