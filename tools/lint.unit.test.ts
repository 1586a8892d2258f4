import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { root } from "./sources.ts";

const planted: Readonly<Record<string, string>> = {
  "eslint(no-empty)": "try { JSON.parse('{'); } catch {}",
  "eslint(no-unused-vars)": "try { JSON.parse('{'); } catch (error) { process.exitCode = 1; }",
  "typescript(no-floating-promises)": "async function work(): Promise<void> {}\nexport function start(): void { work(); }",
  "typescript(no-misused-promises)": "process.on('exit', async () => {});",
  "typescript(switch-exhaustiveness-check)":
    "export function show(status: 'open' | 'done'): string { switch (status) { case 'open': return 'o'; } return ''; }",
  "typescript(no-explicit-any)": "export const anything: any = 1;",
  "typescript(only-throw-error)": "export function fail(): never { throw 'text'; }",
  "import(no-default-export)": "export default 1;",
  "eslint(no-restricted-globals)": "export const currencies: string[] = Intl.supportedValuesOf('currency');",
  "eslint(eqeqeq)": "export const same = (a: number, b: number): boolean => a == b;",
};

describe("lint", () => {
  let folder = "";
  let report = "";

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "kontor-lint-"));
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({ compilerOptions: { strict: true, lib: ["esnext"], types: [], module: "nodenext" } }),
    );
    for (const [rule, text] of Object.entries(planted))
      writeFileSync(
        join(folder, `${rule.replaceAll(/\W+/g, "-")}.ts`),
        `declare const process: { exitCode: number; on(event: string, heard: () => void): void };\n${text}\nexport {};\n`,
      );
    writeFileSync(join(folder, "good.ts"), "export function add(one: number, other: number): number {\n  return one + other;\n}\n");
    const oxlint = join(root, "node_modules/oxlint/bin/oxlint");
    report = spawnSync(process.execPath, [oxlint, "--type-aware", "-f", "unix", "-c", join(root, ".oxlintrc.json"), "."], {
      cwd: folder,
      encoding: "utf8",
    }).stdout;
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const rule of Object.keys(planted))
    it(`DEV-06: bans what ${rule} bans`, () => {
      const file = `${rule.replaceAll(/\W+/g, "-")}.ts`;
      assert.ok(
        report.split("\n").some((line) => line.startsWith(file) && line.includes(rule)),
        report,
      );
    });

  it("says nothing about what is good", () => {
    assert.doesNotMatch(report, /good\.ts/);
  });
});
