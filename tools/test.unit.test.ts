import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

const files: Readonly<Record<string, string>> = {
  "suite.contract.ts": 'export const suite = () => { it("of the suite", () => {}); };',
  "good.unit.test.ts": 'import { suite } from "./suite.contract.ts"; suite();',
  "empty.unit.test.ts": "describe('nothing', () => {});",
  "skips.unit.test.ts": 'it.skip("later", () => {}); it("now", () => {});',
  "fails.unit.test.ts": 'it("is wrong", () => { throw new Error("no"); });',
};

describe("the test runner", () => {
  let folder = "";
  const run = (...names: readonly string[]) => {
    // Node refuses to run tests from within a test that it runs, and knows it by this.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const runner = join(import.meta.dirname, "test.ts");
    const { status, stdout, stderr } = spawnSync(process.execPath, [runner, ...names.map((name) => join(folder, `${name}.unit.test.ts`))], {
      env,
      encoding: "utf8",
    });
    return { status, stdout, problems: stderr.split("\n").filter((line) => line.startsWith("✖")) };
  };

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "kontor-runner-"));
    for (const [name, text] of Object.entries(files))
      writeFileSync(join(folder, name), `import { describe, it } from "node:test";\n${text}\n`);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it("counts the tests of a suite for the file that runs it", () => {
    const { status, stdout, problems } = run("good");
    assert.deepEqual([status, problems], [0, []]);
    assert.match(stdout, /^ℹ tests 1$/m);
  });

  it("fails on a file without tests, a skipped test and a failing one", () => {
    const { status, stdout, problems } = run("good", "empty", "skips", "fails");
    assert.equal(status, 1);
    assert.deepEqual(
      problems.map((problem) => /no test ran in .*empty|skipped: later/.exec(problem)?.[0].replace(/in .*empty/, "in empty")),
      ["skipped: later", "no test ran in empty"],
    );
    assert.match(stdout, /is wrong/);
  });
});
