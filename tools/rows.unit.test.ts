import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { filesOfRows } from "./files-of-rows.ts";
import { rowIds, rowLine, rowPattern, rowsIn, tally } from "./rows.ts";
import { runTests } from "./run-tests.ts";
import { root } from "./sources.ts";

describe("rows", () => {
  it("occur in the names of tests as words of their own", () => {
    assert.deepEqual([...rowsIn("INV-04 INV-05: two units")], ["INV-04", "INV-05"]);
    assert.deepEqual([...rowsIn("R8, I1: (S30) saga")], ["R8", "I1", "S30"]);
    assert.deepEqual([...rowsIn("XORD-09x ORD-091b MY-ORD-09 ORD-09-b SHA256x utf-8 x")], []);
    assert.ok(rowPattern(["ORD-09"]).test("orders ORD-09: reminds"));
    assert.ok(!rowPattern(["ORD-0", "R1"]).test("orders ORD-09: reminds R12"));
  });

  it("are read from their table, in its order and each once", () => {
    const ids = rowIds(readFileSync(join(root, "docs/requirements.md"), "utf8"));
    assert.equal(new Set(ids).size, ids.length);
    assert.deepEqual([ids[0], ids.at(-1)], ["GW-01", "SUB-09"]);
  });

  it("pass with at least one test and all of them passing", () => {
    const rows = tally([
      { names: ["orders", "ORD-09: reminds"], passed: true },
      { names: ["ORD-09 ORD-10: mails", "at 4 h"], passed: true },
      { names: ["ORD-09 ORD-10: mails", "at 12 h"], passed: false },
      { names: ["CAT-07: finds", "CAT-07: typos"], passed: true },
    ]);
    assert.deepEqual(
      ["ORD-09", "ORD-10", "CAT-07", "GW-02"].map((id) => rowLine(id, rows.get(id))),
      ["ORD-09 failed 1", "ORD-10 failed 1", "CAT-07 passed 1", "GW-02 none"],
    );
  });

  it("are looked for in contract suites too, beside a test or in another package", () => {
    const folder = mkdtempSync(join(tmpdir(), "kontor-rows-"));
    after(() => rmSync(folder, { recursive: true, force: true }));
    const write = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    write("x.contract.ts", 'it("MSG-14: works", () => {});');
    const here = write("a.unit.test.ts", 'import { x } from "./x.contract.ts";');
    const elsewhere = write("b.unit.test.ts", 'import { tasksContract } from "@kontor/platform/tasks/tasks.contract.ts";');
    const none = write("c.unit.test.ts", 'it("ORD-10: reminds", () => {});');
    assert.deepEqual(filesOfRows([here, elsewhere, none], ["MSG-14"]), [here, elsewhere]);
  });

  it("are counted over files, suites, nested tests, skipped tests and files that do not run", async () => {
    // Node refuses to run tests from within a test that it runs, and knows it by this.
    delete process.env["NODE_TEST_CONTEXT"];
    const folder = mkdtempSync(join(tmpdir(), "kontor-rows-"));
    after(() => rmSync(folder, { recursive: true, force: true }));
    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), `import { describe, it } from "node:test";\n${text}`);
      return join(folder, name);
    };
    const files = [
      file(
        "a.unit.test.ts",
        'describe("ORD-09: outer", () => { it("one", () => {}); describe("inner", () => { it("ORD-10: two", () => {}); }); }); it("PAY-01: x", () => {});',
      ),
      file(
        "b.unit.test.ts",
        'it("ORD-09: fails", () => { throw new Error("no"); }); it.skip("PAY-02: skipped", () => {}); it("none", () => {});',
      ),
      file("c.unit.test.ts", 'throw new Error("does not load");'),
      file("d.unit.test.ts", 'import { suite } from "./x.contract.ts"; suite();'),
    ];
    file("x.contract.ts", 'export const suite = () => { describe("any engine", () => { it("MSG-05: drains", () => {}); }); };');
    const all = await runTests({ files, concurrency: 2 });
    const lines = (rows: ReturnType<typeof tally>): string[] => [...rows].map(([id, row]) => rowLine(id, row)).toSorted();
    assert.deepEqual(lines(tally(all.outcomes)), [
      "MSG-05 passed 1",
      "ORD-09 failed 1",
      "ORD-10 passed 1",
      "PAY-01 passed 1",
      "PAY-02 failed 1",
    ]);
    assert.deepEqual(
      all.failures.map(({ names }) => String(names.at(-1))).toSorted(),
      [String(files[2]), "ORD-09: fails", "PAY-02: skipped"].toSorted(),
    );
    const some = await runTests({ files: files.slice(0, 2), concurrency: 2, pattern: rowPattern(["ORD-10", "PAY-01"]) });
    assert.deepEqual(lines(tally(some.outcomes)), ["ORD-09 passed 1", "ORD-10 passed 1", "PAY-01 passed 1"]);
    assert.deepEqual(some.failures, []);
  });
});
