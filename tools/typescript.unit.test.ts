import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { file, manifests, root } from "./sources.ts";

const rows = file("docs/typescript.md")
  .text.split("\n")
  .filter((line) => line.startsWith("| SUB-"))
  .map((line) => line.split("|").map((cell) => cell.trim()));

/** Every version that a workspace asks for, by package. */
const versions = new Map(
  manifests().flatMap(({ text }) => {
    const manifest = JSON.parse(text) as Readonly<Record<string, Readonly<Record<string, string>> | undefined>>;
    return ["dependencies", "devDependencies", "optionalDependencies"].flatMap((group) => Object.entries(manifest[group] ?? {}));
  }),
);

describe("docs/typescript.md", () => {
  for (const [, id = "", , , packages = "", why = ""] of rows)
    it(`${id}: names a counterpart that is there, and why`, () => {
      const named = [...packages.matchAll(/`([^`]+)` ([\d.]+)/g)].map(([, name = "", version]) => [name, version] as const);
      for (const [name, version] of named) assert.equal(versions.get(name), version, name);
      assert.ok(why.length > 20);
      if (id === "SUB-09")
        for (const path of ["platform/rpc/breaker.ts", "platform/rpc/retry-budget.ts"]) assert.ok(existsSync(join(root, path)));
      else assert.ok(named.length > 0);
    });

  it("SUB-01 to SUB-09: has a row for each", () => {
    assert.deepEqual(
      rows.map(([, id]) => id),
      Array.from({ length: 9 }, (_, at) => `SUB-0${at + 1}`),
    );
  });

  it("SUB-01: TypeScript is strict, in syntax that Node runs as it is", () => {
    const { compilerOptions } = JSON.parse(file("tsconfig.json").text.replaceAll(/^\s*\/\/.*$/gm, "")) as {
      readonly compilerOptions: Readonly<Record<string, unknown>>;
    };
    for (const option of ["strict", "erasableSyntaxOnly", "verbatimModuleSyntax", "noUncheckedIndexedAccess", "exactOptionalPropertyTypes"])
      assert.equal(compilerOptions[option], true, option);
  });
});
