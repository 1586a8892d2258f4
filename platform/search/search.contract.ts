import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Refusal } from "../errors/refusal.ts";
import { searchWritingContract } from "./search-writing.contract.ts";
import type { SearchContract } from "./test-search-data.ts";
import type { SearchDocument, SearchQuery, SearchResult } from "./search.ts";
import { document, filledIndex, naive, naiveFacet, randomDocuments, randomQuery, relevance, words } from "./test-search-data.ts";

/** What every engine of the search seam must do. */
export function searchContract(name: string, { open, settle = async () => undefined, runs = 12 }: SearchContract): void {
  const filled = (documents: readonly SearchDocument[]) => filledIndex({ open, settle }, documents);

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

    it("CAT-06: pages neither overlap nor miss a document, in any order, while others are added and deleted", async () => {
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

    it("CAT-06: finds words of scripts without spaces, pictures, joined words either way, and words at the end of others", async () => {
      const text = (a: string, b = "") => ({ a, b, c: "" });
      const index = await filled([
        document({ id: "tea", text: text("正山小种红茶茶叶") }),
        document({ id: "beans", text: text("コーヒー豆 深煎り") }),
        document({ id: "thai", text: text("กาแฟไทย") }),
        document({ id: "unicorn", text: text("🦄 Unicorn mug") }),
        document({ id: "wi-fi", text: text("Wi-Fi router AC1200") }),
        document({ id: "wifi", text: text("Wifi antenna") }),
        document({ id: "mill", text: text("Kaffeemühle aus Buchenholz", "4006381333931") }),
        document({ id: "mill-2", text: text("Mühle") }),
        document({ id: "stable", text: text("Pferdestall", "stable") }),
      ]);
      for (const [typed, ...ids] of [
        ["红茶", "tea"],
        ["茶叶", "tea"],
        ["茶", "tea"],
        ["红叶"],
        ["豆", "beans"],
        ["コーヒー", "beans"],
        ["กาแฟ", "thai"],
        ["🦄", "unicorn"],
        ["🦊"],
        ["wifi", "wifi", "wi-fi"],
        ["Wi-Fi", "wifi", "wi-fi"],
        ["wi fi router", "wi-fi"],
        ["mühle", "mill-2", "mill"],
        ["mühle buchenholz", "mill"],
        ["4006381333931", "mill"],
      ] as const)
        assert.deepEqual(new Set((await index.query({ text: typed, sort: relevance, limit: 10 })).ids), new Set<string>(ids), typed);
      assert.deepEqual((await index.query({ text: "mühle", sort: relevance, limit: 1 })).ids, ["mill-2"], "whole words come first");
      const byId = { by: "none", descending: false } as const;
      assert.deepEqual((await index.query({ text: "mühle", sort: [byId], limit: 10 })).ids, ["mill", "mill-2"]);
    });

    it("takes texts that are longer than an engine's documents, and finds them by their beginnings", async () => {
      const long = Array.from({ length: 70_000 }, (_, at) => `w${at.toString(36)}x`).join(" ");
      const index = await filled([document({ id: "long", text: { a: "Catalogue", b: long, c: long }, keywords: { category: ["one"] } })]);
      for (const query of [{ text: "catalogue" }, { text: "w1x" }, { keywords: { category: ["one"] } }])
        assert.deepEqual((await index.query({ ...query, sort: [], limit: 10 })).ids, ["long"]);
    });

    it("finds words with typing errors, with pages and filters", async () => {
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

    it("refuses a cursor that was changed or is of another query", async () => {
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

    it("sorts documents without the number last, in both directions", async () => {
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

    it("SEC-03: takes any text as words, keywords and values, and finds by it only what contains it", async () => {
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
        if (value === "\u0000") continue; // names are the code's own and never have it
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

  searchWritingContract(name, { open, settle });
}
