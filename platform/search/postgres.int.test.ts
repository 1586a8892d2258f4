import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { outsideTransaction } from "../database/in-transaction.ts";
import { migrate } from "../database/migrate.ts";
import { openTestDatabase } from "../database/open-test-database.ts";
import { observed } from "../database/open-test-observed-database.ts";
import type { PostgresDatabase } from "../database/postgres.ts";
import { sql } from "../database/sql.ts";
import { createPostgresSearch, searchMigrations } from "./postgres.ts";
import { pageSql } from "./search-sql.ts";
import { searchContract } from "./search.contract.ts";
import type { Search, SearchQuery } from "./search.ts";
import { document } from "./test-search-data.ts";

describe("search in PostgreSQL", () => {
  let database: PostgresDatabase;
  let search: Search;

  before(async () => {
    ({ database } = await openTestDatabase());
    await migrate(database, [searchMigrations]);
    search = createPostgresSearch({ database });
  });

  searchContract("postgres", { open: async () => search });

  it("DAT-16: reads by its index, also by statements that were planned when there was nothing yet", async () => {
    const index = search.index("planned-empty");
    const queries: SearchQuery[] = [
      { text: "red lamp", keywords: { status: ["PUBLISHED"] }, sort: [{ by: "relevance" }], limit: 20 },
      { text: "lamp", ranges: { price: { min: 500 } }, sort: [{ by: "price", descending: false }], limit: 20 },
      { keywords: { status: ["DRAFT"] }, sort: [{ by: "price", descending: true }], limit: 20 },
    ];
    for (let time = 0; time < 10; time++) for (const query of queries) await index.query(query);
    const nouns = ["lamp", "table", "chair", "mug", "shirt", "belt", "scarf", "knife", "pillow", "vase"];
    await index.put(
      Array.from({ length: 2_000 }, (_, n) => ({
        id: `prd_${n}`,
        version: 1,
        text: {
          a: `${n % 3 === 0 ? "red" : "blue"} ${nouns[n % 10]}`,
          b: "",
          c: Array.from({ length: 40 }, (_, word) => `text${(n * word) % 991}`).join(" "),
        },
        keywords: { status: [n % 20 === 0 ? "DRAFT" : "PUBLISHED"] },
        numbers: { price: [n] },
      })),
    );
    for (const query of queries) {
      const want = query.text === undefined ? undefined : { words: query.text.split(" ").map((word) => [word]) };
      const plan = await database.rows<{ "QUERY PLAN": string }>(
        sql`explain ${pageSql({ index: "planned-empty", query, want }, undefined)}`,
      );
      const text = plan.map((line) => line["QUERY PLAN"]).join("\n");
      assert.match(text, /Bitmap Index Scan on search_documents_terms/);
      assert.doesNotMatch(text, /Seq Scan/);
    }
  });

  it("takes 16 words of a text, and words and values of any length", async () => {
    const index = search.index("long");
    const long = "x".repeat(5_000);
    const text = Array.from({ length: 16 }, (_, n) => `word${n}`).join(" ");
    await index.put([
      { id: "1", version: 1, text: { a: text, b: long, c: long }, keywords: { long: [long], other: [`${long}y`] }, numbers: {} },
    ]);
    assert.deepEqual((await index.query({ text: `${text} never there`, sort: [], limit: 1 })).ids, ["1"]);
    assert.deepEqual((await index.query({ text: long, keywords: { long: [long] }, sort: [], limit: 1 })).ids, ["1"]);
    assert.deepEqual((await index.query({ keywords: { long: [`${long}y`] }, sort: [], limit: 1 })).ids, []);
  });

  it("documents are deleted in the order in which they are written, so that no two processes wait for each other", async () => {
    const { database, observer, waiting } = await observed();
    await migrate(database, [searchMigrations]);
    const index = createPostgresSearch({ database }).index("locks");
    const documents = Array.from({ length: 1_000 }, (_, n) => document({ id: `${1_000 + n}` }));
    const ids = documents.map(({ id }) => id);
    for (const work of [() => index.delete(ids), () => index.rebuild(async () => undefined)]) {
      // Stored in the opposite order.
      for (const one of documents.toReversed()) await index.put([one]);
      let deleted: Promise<void> | undefined;
      await observer.transaction(async (tx) => {
        await tx.run(sql`select from search_documents where id = ${ids[0]} for update`);
        deleted = outsideTransaction(work);
        await outsideTransaction(() => waiting(1));
        assert.equal((await tx.rows(sql`select from search_documents for update skip locked`)).length, ids.length);
      });
      await deleted;
      assert.deepEqual((await index.query({ sort: [], limit: 1 })).ids, []);
    }
  });

  it("counts as lost when an older version has written documents, until they are put again", async () => {
    const gaps: string[] = [];
    const opened = () => createPostgresSearch({ database }).index("formats", (gap) => gaps.push(gap));
    const some = { sort: [], limit: 1 };
    const index = opened();
    await index.put([document({ id: "1" })]);
    await index.query(some);
    assert.deepEqual(gaps, []);
    await database.run(sql`update search_documents set format = 1 where index_name = 'formats'`);
    for (const _ of [1, 2]) assert.deepEqual((await opened().query(some)).ids, ["1"], "it is searched meanwhile");
    assert.equal(gaps.length, 2);
    assert.equal(new Set(gaps).size, 1, "one loss has one name in all processes");
    await index.rebuild((documents) => documents.put([document({ id: "1" })]));
    await opened().query(some);
    assert.equal(gaps.length, 2);
  });

  it("refuses relevance without a text", async () => {
    await assert.rejects(search.index("none").query({ sort: [{ by: "relevance" }], limit: 1 }), { reason: "INVALID_REQUEST" });
  });
});
