import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { checks } from "./checks.ts";
import { file, manifests, root } from "./sources.ts";

const planted: Readonly<Record<string, string>> = {
  "a-text-is-no-number": 'export const count: number = "one";',
  "an-element-may-be-missing": "export const first = (list: readonly string[]): string => list[0];",
  "absent-is-not-undefined": "const options: { limit?: number } = { limit: undefined };\nexport const given = options;",
  "a-parameter-has-a-type": "export function twice(value) { return value * 2; }",
  "null-is-handled": "export const length = (text: string | null): number => text.length;",
  "a-caught-error-is-unknown": "export function work(): string { try { return ''; } catch (error) { return error.message; } }",
  "an-enum-would-need-a-build": "export enum Colour { Red }",
  "types-are-imported-as-types": 'import { StatOptions } from "node:fs";\nexport const none: StatOptions | undefined = undefined;',
  "every-way-returns": "export function sign(value: number): string | undefined { if (value > 0) return '+'; }",
};

describe("types", () => {
  let folder = "";
  let report = "";

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "kontor-types-"));
    const { compilerOptions } = JSON.parse(file("tsconfig.json").text) as { readonly compilerOptions: object };
    const typeRoots = [join(root, "node_modules/@types")];
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: { ...compilerOptions, typeRoots }, include: ["*.ts"] }));
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    for (const [name, text] of Object.entries(planted)) writeFileSync(join(folder, `${name}.ts`), `${text}\n`);
    writeFileSync(join(folder, "good.ts"), "export const add = (one: number, other: number): number => one + other;\n");
    report = spawnSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "--noEmit"], {
      cwd: folder,
      encoding: "utf8",
    }).stdout;
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const name of Object.keys(planted))
    it(`DEV-05: the type checker sees that ${name.replaceAll("-", " ")}`, () => {
      assert.match(report, new RegExp(`^${name}\\.ts\\(\\d+,\\d+\\): error TS`, "m"));
    });

  it("DEV-05: and says nothing about what is good", () => {
    assert.doesNotMatch(report, /^good\.ts/m);
  });

  it("DEV-05: every folder with sources is checked, as strictly, and no warning passes", () => {
    const { include } = JSON.parse(file("tsconfig.json").text) as { readonly include: readonly string[] };
    const workspaces = manifests()
      .slice(1)
      .map(({ path }) => path.split("/")[0] ?? "");
    assert.deepEqual(include.map((pattern) => pattern.replace("/**/*.ts", "")).toSorted(), [...new Set(workspaces)].toSorted());
    assert.match(file(".oxlintrc.json").text, /"denyWarnings": true/);
    assert.deepEqual(
      ["types", "lint", "format", "boundaries"].filter((name) => !(name in checks)),
      [],
    );
  });

  for (const name of ["types", "lint"])
    it(`DEV-05: the tree passes npm run check -- ${name}`, () => {
      assert.equal(checks[name]!(), "");
    });
});
