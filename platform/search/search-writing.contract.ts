import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import type { SearchDocument, SearchQuery } from "./search.ts";
import type { SearchContract } from "./test-search-data.ts";
import { document, filledIndex, relevance, words } from "./test-search-data.ts";

/** What every engine of the search seam must do when documents are put, deleted and rebuilt. */
export function searchWritingContract(name: string, { open, settle = async () => undefined }: SearchContract): void {
  const filled = (documents: readonly SearchDocument[]) => filledIndex({ open, settle }, documents);

  describe(`search: ${name}, writing`, () => {
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

    it("deletes, empties, and separates indexes", async () => {
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

    it("accepts a newer version of a deleted document, and of one that never existed", async () => {
      const id = `test-${randomUUID()}`;
      const index = (await open()).index(id);
      await index.put([document({ id: "1", version: 5 })]);
      await index.delete(["1", "2"]);
      await index.put([document({ id: "1", version: 6 }), document({ id: "2", version: 1 })]);
      await settle(id);
      assert.deepEqual((await index.query({ sort: [], limit: 10 })).ids, ["1", "2"]);
    });

    it("CAT-07: is rebuilt while it serves queries, and includes what is put and deleted meanwhile", async () => {
      const index = await filled(["1", "2", "3", "4", "old"].map((id) => document({ id, version: 2, numbers: { price: [1] } })));
      const query: SearchQuery = { sort: [], limit: 10 };
      await index.rebuild(async (documents) => {
        assert.deepEqual((await index.query(query)).ids, ["1", "2", "3", "4", "old"]);
        // The same version with other content, as after a change of what is indexed.
        await documents.put(["1", "2"].map((id) => document({ id, version: 2, numbers: { price: [2] } })));
        await index.put([document({ id: "1", version: 3, numbers: { price: [3] } }), document({ id: "new", numbers: { price: [3] } })]);
        await index.delete(["4"]);
        const { ids } = await index.query(query);
        for (const id of ["1", "2", "3", "new", "old"]) assert(ids.includes(id), id);
        assert(!ids.includes("4"));
        // Data that was read before another put something newer.
        await documents.put(["1", "3", "removed"].map((id) => document({ id, version: 2, numbers: { price: [2] } })));
        await documents.delete(["removed"]);
      });
      assert.deepEqual((await index.query(query)).ids, ["1", "2", "3", "new"]);
      assert.deepEqual((await index.query({ ...query, ranges: { price: { min: 3 } } })).ids, ["1", "new"]);
      assert.deepEqual((await index.query({ ...query, ranges: { price: { max: 1 } } })).ids, []);
    });

    it("a failed rebuild changes nothing; of two concurrent ones the later counts, and both end", async () => {
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

    it("serves every query during repeated rebuilds", async () => {
      const all = ["1", "2", "3"].map((id) => document({ id }));
      const index = await filled(all);
      let over = false;
      const querying = Array.from({ length: 3 }, async () => {
        while (!over) assert.deepEqual((await index.query({ sort: [], limit: 10 })).ids, ["1", "2", "3"]);
      });
      const rebuilding = async (): Promise<void> => {
        for (let time = 0; time < 4; time++) await index.rebuild((documents) => documents.put(all));
      };
      await Promise.all([...querying, rebuilding().finally(() => (over = true))]);
    });
  });
}
