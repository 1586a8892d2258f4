import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { platformProblems } from "./platform-exports.ts";
import { file, readSources, shown } from "./sources.ts";

const offer = {
  manifest: {
    path: "platform/package.json",
    text: '{\n  "exports": {\n    "./call/call.ts": "./call/call.ts",\n    "./rpc/access.ts": "./rpc/access.ts"\n  }\n}\n',
  },
  readme: { path: "platform/README.md", text: "| module |\n|---|\n| [call/call.ts](call/call.ts) | reads who calls |\n" },
};
const importing = (path: string, ...modules: readonly string[]) => ({
  path,
  text: modules.map((module) => `import { a } from "@kontor/platform/${module}";\n`).join(""),
});
const used = [importing("services/orders/src/a.ts", "call/call.ts"), importing("gateway/a.ts", "rpc/access.ts")];
const problems = (...planted: readonly ReturnType<typeof importing>[]) => platformProblems([...used, ...planted], offer).map(shown);

describe("exports of the platform", () => {
  it("DEV-04: what the README lists and the manifest exports, and no more, may be imported", () => {
    assert.deepEqual(problems(), []);
    assert.deepEqual(problems(importing("services/orders/src/a.int.test.ts", "rpc/access.ts")), []);
    assert.deepEqual(problems(importing("services/payments/provider/src/a.ts", "rpc/access.ts")), []);
  });

  it("DEV-04: catches an import of an internal module, by whomever", () => {
    for (const path of ["gateway/b.ts", "services/orders/src/b.ts", "services/orders/src/b.unit.test.ts"])
      assert.deepEqual(problems(importing(path, "call/call.ts", "rpc/faults.ts")), [
        `${path}:2 rpc/faults.ts is internal to the platform: platform/package.json does not export it`,
      ]);
  });

  it("DEV-04: catches an import by a service of a module that is for others", () => {
    assert.deepEqual(problems(importing("services/orders/src/b.ts", "rpc/access.ts")), [
      "services/orders/src/b.ts:1 rpc/access.ts is not among the modules of the platform that services use: platform/README.md",
    ]);
  });

  it("DEV-04: catches an entry that nobody imports", () => {
    assert.deepEqual(platformProblems([], offer).map(shown), [
      "platform/package.json:3 no other package imports call/call.ts",
      "platform/package.json:4 no other package imports rpc/access.ts",
      "platform/README.md:3 no service imports call/call.ts",
    ]);
  });

  it("DEV-04: the tree imports what the platform offers, all of it and nothing else", () => {
    const tree = { manifest: file("platform/package.json"), readme: file("platform/README.md") };
    assert.deepEqual(platformProblems(readSources("ts"), tree).map(shown), []);
  });
});
