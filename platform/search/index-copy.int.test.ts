import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";
import fc from "fast-check";
import { copyDatabase } from "../database/copy-database.ts";
import type { Reads } from "../database/database.ts";
import { migrate } from "../database/migrate.ts";
import { openTestDatabase } from "../database/open-test-database.ts";
import type { PostgresDatabase } from "../database/postgres.ts";
import { sql } from "../database/sql.ts";
import type { Sql } from "../database/sql.ts";
import { createIndexCopy } from "./index-copy.ts";
import { createPostgresSearch, searchMigrations } from "./postgres.ts";
import type { SearchDocument, SearchIndex, SearchQuery, SearchResult } from "./search.ts";
import { document, randomDocuments, randomQuery } from "./test-search-data.ts";

describe("search in PostgreSQL, with facets from a copy", () => {
  let database: PostgresDatabase;

  before(async () => {
    ({ database } = await openTestDatabase());
    await migrate(database, [searchMigrations]);
  });

  /** One index as two processes have it, each with a copy of its own, and as one that copies nothing. */
  const openIndexes = (): { one: SearchIndex; other: SearchIndex; uncopied: SearchIndex; name: string } => {
    const name = `test-${randomUUID()}`;
    const open = (copiedMax: number) => createPostgresSearch({ database, copiedMax }).index(name);
    return { one: open(1e6), other: open(1e6), uncopied: open(0), name };
  };
  const facets = ["category", "company", "none"];
  const countOf = async (index: SearchIndex, query: Partial<SearchQuery> = {}): Promise<Record<string, number>> => {
    const { facets } = await index.query({ sort: [], limit: 0, facets: ["colour"], ...query });
    return Object.fromEntries(facets["colour"]!.map(({ value, count }) => [value, count]));
  };
  const coloured = (id: string, colour: string, version: number): SearchDocument =>
    document({ id, version, text: { a: `thing ${colour}`, b: "", c: "" }, keywords: { colour: [colour] } });

  it("CAT-06: finds, orders, counts and continues exactly as the database does without one, also while documents change", async () => {
    await fc.assert(
      fc.asyncProperty(
        randomDocuments,
        randomDocuments,
        fc.array(randomQuery, { minLength: 8, maxLength: 8 }),
        async (first, then, queries) => {
          const { one, other, uncopied } = openIndexes();
          const same = async (query: SearchQuery): Promise<SearchResult> => {
            const [expected, ...results] = await Promise.all([uncopied, one, other].map((index) => index.query({ ...query, facets })));
            for (const result of results) assert.deepEqual(result, expected);
            return expected!;
          };
          await one.put(first);
          for (const query of queries.slice(0, 4)) await same(query);
          await other.put(then.map((changed) => ({ ...changed, version: 2 })));
          await one.delete([first[0]!.id, then[0]!.id]);
          for (const query of queries) {
            await same({ ...query, limit: 0 });
            for (let cursor: string | undefined, limit = 3; ; limit += 2) {
              const page = await same({ ...query, limit, ...(cursor !== undefined && { cursor }) });
              if (page.cursor === undefined) break;
              cursor = page.cursor;
            }
          }
        },
      ),
      { numRuns: 12, endOnFailure: true },
    );
  });

  it("a process sees at once what another has put, deleted and rebuilt", async () => {
    const { one, other } = openIndexes();
    assert.deepEqual([await countOf(one), await countOf(other)], [{}, {}]);
    await one.put(["1", "2", "3"].map((id) => coloured(id, "red", 1)));
    assert.deepEqual(await countOf(other), { red: 3 });
    await other.put([coloured("2", "blue", 2)]);
    assert.deepEqual(await countOf(one), { red: 2, blue: 1 });
    await one.delete(["1"]);
    assert.deepEqual(await countOf(other, { text: "thing", sort: [{ by: "relevance" }] }), { red: 1, blue: 1 });
    await one.rebuild((documents) => documents.put([coloured("3", "red", 1)]));
    assert.deepEqual(await countOf(other), { red: 1 });
    await other.rebuild(async () => undefined);
    assert.deepEqual([await countOf(one), await countOf(other)], [{}, {}]);
  });

  it("every result is of one moment, while several processes write and search", async () => {
    const { one, other } = openIndexes();
    const ids = Array.from({ length: 25 }, (_, n) => `${n}`);
    let version = 1;
    const put = (index: SearchIndex, colour: string) => index.put(ids.map((id) => coloured(id, colour, version++)));
    await put(one, "start");
    let over = false;
    const searching = [one, other, one, other].map(async (index, nth) => {
      while (!over) {
        const counts = await countOf(index, nth < 2 ? {} : { text: "thing" });
        assert.deepEqual(Object.values(counts), [ids.length]);
      }
    });
    const writing = [one, other].map(async (index, nth) => {
      for (let turn = 0; turn < 30; turn++) await put(index, `${nth}-${turn}`);
    });
    await Promise.all([...searching, Promise.all(writing).finally(() => (over = true))]);
  });

  it("more documents than are named in a revision are read again", async () => {
    const { one, other } = openIndexes();
    const many = Array.from({ length: 1_500 }, (_, n) => coloured(`${n}`, n % 3 === 0 ? "red" : "blue", 1));
    await one.put(many);
    assert.deepEqual(await countOf(other), { blue: 1_000, red: 500 });
    await one.rebuild((documents) => documents.put(many.slice(0, 3)));
    assert.deepEqual(await countOf(other), { blue: 2, red: 1 });
    assert.deepEqual(await countOf(one), { blue: 2, red: 1 });
  });

  it("is read once, also when each document has many values that no other has, and again when most of them are former ones", async () => {
    const { one, name } = openIndexes();
    let reads = 0;
    const rows = async <Row extends object>(statement: Sql): Promise<Row[]> => {
      reads++;
      return database.rows<Row>(statement);
    };
    const reading: Reads = { rows, one: (statement) => database.one(statement), maybe: (statement) => database.maybe(statement) };
    const copy = createIndexCopy(reading, name, 1e6);
    const readsOfSearch = async (): Promise<number> => {
      reads = 0;
      await copy.matches({ index: name, query: { sort: [], limit: 1 }, want: undefined });
      return reads;
    };
    const putTagged = (version: number) => {
      const tags = (n: number) => Array.from({ length: 100 }, (_, tag) => `${version} ${n} ${tag}`);
      return one.put(Array.from({ length: 120 }, (_, n) => document({ id: `${n}`, version, keywords: { tag: tags(n) } })));
    };
    await putTagged(1);
    assert.deepEqual([await readsOfSearch(), await readsOfSearch()], [1, 0]);
    await putTagged(2);
    assert.deepEqual([await readsOfSearch(), await readsOfSearch()], [0, 0]);
    await putTagged(3);
    assert.deepEqual([await readsOfSearch(), await readsOfSearch(), await readsOfSearch()], [0, 1, 0]);
  });

  it("everything is read again when revisions were lost, are no longer kept, or were never made", async () => {
    const { one, other, name } = openIndexes();
    const put = (colour: string, version: number) => one.put([coloured("1", colour, version), coloured("2", colour, version)]);
    const unrecorded = async (statement: ReturnType<typeof sql>): Promise<void> => {
      await database.run(sql`alter table search_documents disable trigger user`);
      await database.run(statement);
      await database.run(sql`alter table search_documents enable trigger user`);
    };
    await put("red", 1);
    assert.deepEqual(await countOf(other), { red: 2 });
    // As after a standby has taken over that lacked the last change, and another one has been made since.
    await unrecorded(sql`delete from search_documents where index_name = ${name} and id = '2'`);
    await database.run(sql`update search_revisions set tag = gen_random_uuid() where index_name = ${name}`);
    assert.deepEqual(await countOf(other), { red: 1 });
    await put("blue", 2);
    await put("green", 3);
    await database.run(
      sql`delete from search_revisions where index_name = ${name} and revision < (select max(revision) from search_revisions where index_name = ${name})`,
    );
    assert.deepEqual(await countOf(other), { green: 2 });
    await unrecorded(
      sql`update search_documents set written = nextval('search_writes'), keywords = '{"colour": ["grey"]}' where index_name = ${name}`,
    );
    assert.deepEqual(await countOf(other, { text: "thing" }), { grey: 2 });
  });

  it("DAT-16: in an index that is too large to be copied, facets are counted over 10,000 matches at most", async () => {
    const { one, uncopied } = openIndexes();
    const count = 10_300;
    await one.put(Array.from({ length: count }, (_, n) => coloured(String(n), n % 2 === 0 ? "red" : "blue", 1)));
    const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((all, some) => all + some, 0);
    assert.deepEqual(await countOf(one), { blue: count / 2, red: count / 2 });
    assert.equal(sum(await countOf(uncopied)), 10_000);
    assert.equal(sum(await countOf(uncopied, { text: "thing" })), 10_000);
    assert.deepEqual(await countOf(uncopied, { text: "red" }), { red: count / 2 });
  });

  it("a database that is copied to another server takes its record along", async () => {
    const source = await openTestDatabase();
    const target = await openTestDatabase();
    for (const one of [source, target]) await migrate(one.database, [searchMigrations]);
    const indexOf = (one: { readonly database: PostgresDatabase }) => createPostgresSearch(one).index("moved");
    await indexOf(source).put([coloured("1", "red", 1), coloured("2", "red", 1)]);
    await indexOf(source).put([coloured("2", "blue", 2)]);
    await copyDatabase(source.connection, target.connection);
    const index = indexOf(target);
    assert.deepEqual(await countOf(index), { blue: 1, red: 1 });
    await indexOf(target).put([coloured("1", "blue", 2)]);
    assert.deepEqual(await countOf(index), { blue: 2 });
  });

  it("keeps no more than ten thousand changed documents in its record", async () => {
    const { one, name } = openIndexes();
    await database.run(
      sql`insert into search_revisions (index_name, revision, tag) select ${name}, n * 1000, gen_random_uuid() from generate_series(1, 20) n`,
    );
    await one.put([coloured("1", "red", 1)]);
    const { first, last } = await database.one<{ first: bigint; last: bigint }>(
      sql`select min(revision) as first, max(revision) as last from search_revisions where index_name = ${name}`,
    );
    assert.deepEqual([first, last], [11_000n, 20_001n]);
    assert.deepEqual(await countOf(one), { red: 1 });
  });
});
