import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { SearchDocument, SearchIndex, SearchQuery } from "./search.ts";
import { searchWithFallback } from "./with-fallback.ts";

const query: SearchQuery = { sort: [], limit: 1 };
const document = (id: string): SearchDocument => ({ id, version: 1, text: { a: "", b: "", c: "" }, keywords: {}, numbers: {} });
const unavailable = (error: unknown): boolean => (error as { reason?: string }).reason === "DEPENDENCY_UNAVAILABLE";

describe("search with a fallback", () => {
  it("RES-04: queries the second at once after one failure, probes the first, and queries the first again when that responds", async () => {
    const { index, first, second, lines, search } = open();
    assert.deepEqual((await index.query(query)).ids, ["first"]);
    first.failure = refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
    assert.deepEqual((await index.query(query)).ids, ["second"]);
    assert.equal(search.degraded, true);

    // It hangs from now on: nobody waits for it, and one at a time finds out.
    const asked = first.calls.length;
    const hanging = Promise.withResolvers<void>();
    first.waitFor = hanging.promise;
    for (let time = 0; time < 3; time++) assert.deepEqual((await index.query(query)).ids, ["second"]);
    assert.equal(first.calls.length, asked + 1);
    first.failure = undefined;
    hanging.resolve();
    while (search.degraded) await index.query(query);
    assert.deepEqual((await index.query(query)).ids, ["first"]);
    assert.deepEqual(lines, ["the search engine is unavailable: queries use the database", "the search engine is available again"]);
    assert.ok(second.calls.length >= 4);
  });

  it("passes on errors that are not about availability", async () => {
    const { index, first, second } = open();
    first.failure = refuse({ reason: "INVALID_CURSOR", code: "invalid_argument" });
    await assert.rejects(index.query(query), (error) => (error as { reason?: string }).reason === "INVALID_CURSOR");
    first.failure = new Error("a fault");
    await assert.rejects(index.query(query), /a fault/);
    assert.deepEqual(second.calls, []);
  });

  it("puts and deletes in the second before the first, and refuses what the first has not written", async () => {
    const { index, first, second } = open();
    await index.put([document("1")]);
    await index.delete(["1"]);
    assert.deepEqual(
      [first.calls, second.calls],
      [
        ["put 1", "delete 1"],
        ["put 1", "delete 1"],
      ],
    );
    first.failure = refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
    await assert.rejects(index.put([document("2")]), unavailable);
    await assert.rejects(index.delete(["2"]), unavailable);
    assert.deepEqual(second.calls.slice(2), ["put 2", "delete 2"]);
    // Known to be unavailable, it is not written to, but probed.
    await index.query(query);
    const before = first.calls.length;
    await assert.rejects(index.put([document("3")]), unavailable);
    assert.deepEqual(first.calls.slice(before), ["query"]);
    assert.equal(second.calls.at(-1), "put 3");
    first.failure = undefined;
    await index.put([document("4")]);
    assert.equal(first.calls.at(-1), "put 4");
  });

  it("fills both by one rebuild, and neither when the first is unavailable", async () => {
    const { index, first, second } = open();
    await index.rebuild((documents) => documents.put([document("1")]));
    assert.deepEqual(
      [first.calls, second.calls],
      [
        ["begin", "put 1", "end"],
        ["begin", "put 1", "end"],
      ],
    );
    first.failure = refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
    await assert.rejects(
      index.rebuild(async () => undefined),
      unavailable,
    );
    assert.equal(second.calls.length, 3);
  });
});

function open() {
  const lines: string[] = [];
  const [first, second] = [fake("first"), fake("second")];
  const log: Logger = {
    debug: () => undefined,
    info: (_, line) => lines.push(line),
    warn: (_, line) => lines.push(line),
    error: (_, line) => lines.push(line),
    child: () => log,
  };
  const search = searchWithFallback({ first: { index: () => first.index }, second: { index: () => second.index }, log, probeAfterMs: 0 });
  return { search, index: search.index("any"), first, second, lines };
}

function fake(name: string) {
  const state = { calls: [] as string[], failure: undefined as Error | undefined, waitFor: undefined as Promise<void> | undefined };
  const done = async (call: string): Promise<void> => {
    state.calls.push(call);
    await state.waitFor;
    if (state.failure !== undefined) throw state.failure;
  };
  const index: SearchIndex = {
    put: (documents) => done(`put ${documents.map(({ id }) => id).join()}`),
    delete: (ids) => done(`delete ${ids.join()}`),
    query: async () => {
      await done("query");
      return { ids: [name], facets: {} };
    },
    rebuild: async (fill) => {
      await done("begin");
      await fill(index);
      await done("end");
    },
  };
  return Object.assign(state, { index });
}
