import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";
import fc from "fast-check";
import { openTestDatabase } from "../database/open-test-database.ts";
import { migrate } from "../database/migrate.ts";
import { refusalIn } from "../errors/refusal.ts";
import { openTestOpenSearch } from "./open-test-opensearch.ts";
import { createPostgresSearch, searchMigrations } from "./postgres.ts";
import { searchContract } from "./search.contract.ts";
import { randomDocuments, randomQuery } from "./test-search-data.ts";
import type { Search, SearchDocument, SearchResult } from "./search.ts";
import { searchWithFallback } from "./with-fallback.ts";

const document = (id: string): SearchDocument => ({ id, version: 1, text: { a: "", b: "", c: "" }, keywords: {}, numbers: {} });
const everything = { sort: [], limit: 10 } as const;
const quiet = { debug: () => undefined, info: () => undefined, warn: console.warn, error: console.error, child: () => quiet };

describe("search in OpenSearch", () => {
  searchContract("opensearch", { open: async () => openTestOpenSearch(), runs: 6 });

  it("CAT-07: what was put is found when the put has ended, which takes less than a second", async () => {
    // As it is configured by default: puts wait for the next refresh.
    const index = openTestOpenSearch({ refreshMs: 200 }).index("products");
    await index.put([document("1")]);
    for (let n = 2; n <= 6; n++) {
      const began = performance.now();
      await index.put([document(`${n}`)]);
      assert.equal((await index.query(everything)).ids.length, n);
      assert.ok(performance.now() - began < 1_000);
    }
  });

  it("CAT-07: reports that an index was lost, refuses queries of an incomplete one, and serves them again when it was filled", async () => {
    const search = openTestOpenSearch();
    const lost = new Set<string>();
    const index = search.index("products", (gap) => lost.add(gap));
    const fill = (): Promise<void> => index.rebuild((documents) => documents.put([document("1"), document("2")]));
    const unavailable = (error: unknown): boolean => refusalIn(error)?.reason === "DEPENDENCY_UNAVAILABLE";
    for (let time = 1; time <= 2; time++) {
      await assert.rejects(index.query(everything), unavailable);
      await assert.rejects(index.query(everything), unavailable);
      assert.equal(lost.size, time);
      await index.put([document("3")]);
      await assert.rejects(index.query(everything), unavailable);
      await fill();
      assert.deepEqual((await index.query(everything)).ids, ["1", "2"]);
      // Another process detects it too, and reports no loss.
      const other = search.index("products", () => assert.fail("nothing is lost"));
      assert.deepEqual((await other.query(everything)).ids, ["1", "2"]);
      await search.request("DELETE", `/${Object.keys((await search.request("GET", `/${search.prefix}*`)) as object).join(",")}`);
    }
  });

  it("leaves no index behind but the one in use, also after rebuilds that did not end", async () => {
    const search = openTestOpenSearch();
    const index = search.index("products");
    await index.put([document("1")]);
    const generations = async () => Object.keys((await search.request("GET", `/${search.prefix}products*/_alias`)) as object).length;
    // The process that does it dies: nothing of its rebuild ever ends.
    await new Promise<void>((resolve) => void index.rebuild(() => new Promise(() => resolve())));
    assert.equal(await generations(), 2);
    await index.put([document("2")]);
    await index.rebuild((documents) => documents.put([document("3")]));
    assert.equal(await generations(), 1);
    assert.deepEqual((await index.query(everything)).ids, ["3"]);
  });

  it("takes only names of an index", () => {
    const search = openTestOpenSearch();
    for (const name of ["A", "a.b", "a*", "a,b", "../a"]) assert.throws(() => search.index(name), /cannot be the name of an index/, name);
  });
});

describe("search in OpenSearch, with PostgreSQL behind it", () => {
  let postgres: Search;

  before(async () => {
    const { database } = await openTestDatabase();
    await migrate(database, [searchMigrations]);
    postgres = createPostgresSearch({ database });
  });

  searchContract("opensearch with a fallback", {
    open: async () => searchWithFallback({ first: openTestOpenSearch(), second: postgres, log: quiet }),
    runs: 3,
  });

  it("RES-04: gives the same pages in the same order from either, and a cursor of one continues in the other", async () => {
    const search = openTestOpenSearch();
    await fc.assert(
      fc.asyncProperty(
        randomDocuments,
        fc.array(randomQuery, { minLength: 6, maxLength: 6 }),
        fc.integer({ min: 3, max: 20 }),
        async (documents, queries, limit) => {
          const name = `test-${randomUUID()}`;
          const engines = [search.index(name), postgres.index(name)] as const;
          for (const engine of engines) await engine.put(documents);
          for (const query of queries) {
            let turn = 0;
            for (let cursor: string | undefined; ;) {
              const asked = { ...query, limit, facets: ["category"], ...(cursor !== undefined && { cursor }) };
              const [one, other]: SearchResult[] = await Promise.all(engines.map((engine) => engine.query(asked)));
              assert.deepEqual(one, other);
              cursor = [one, other][turn++ % 2]!.cursor;
              if (cursor === undefined) break;
            }
          }
        },
      ),
      { numRuns: 6, endOnFailure: true },
    );
  });

  it("RES-04: continues in the other with corrected words", async () => {
    const search = openTestOpenSearch();
    const name = `test-${randomUUID()}`;
    const engines = [search.index(name), postgres.index(name)];
    const shirts = Array.from({ length: 9 }, (_, n) => ({ ...document(`${n}`), text: { a: "Striped running shirts", b: "", c: "" } }));
    for (const engine of engines) await engine.put(shirts);
    for (const start of [0, 1]) {
      const ids: string[] = [];
      let cursor: string | undefined;
      for (let turn = start; ids.length < 9; turn++) {
        const query = {
          text: "sriped runing shrits",
          sort: [{ by: "relevance" }],
          limit: 2,
          ...(cursor !== undefined && { cursor }),
        } as const;
        const page = await engines[turn % 2]!.query(query);
        ids.push(...page.ids);
        cursor = page.cursor;
      }
      assert.deepEqual(
        ids,
        shirts.map(({ id }) => id),
      );
    }
  });
});
