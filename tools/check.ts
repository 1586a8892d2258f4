// npm run check: everything that must hold before a change is good, tests last. With --no-tests without them; with names, only those.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { boundaryProblems } from "./boundaries.ts";
import { commitProblems } from "./commits.ts";
import { dependencyProblems } from "./dependencies.ts";
import { lockProblems, manifestProblems } from "./lock-file.ts";
import { reasonProblems, reasonsOf } from "./reasons.ts";
import { readSources, root, shown } from "./sources.ts";
import type { Problem, Source } from "./sources.ts";
import { sqlProblems } from "./sql-strings.ts";

/** What a check says: nothing when all is well. */
type Check = () => string;

const checks: Readonly<Record<string, Check>> = {
  generate: program("tools/generate.ts", "--check"),
  contracts: program("node_modules/@bufbuild/buf/bin/buf", "lint"),
  types: program("node_modules/typescript/bin/tsc", "--noEmit"),
  format: program("node_modules/oxfmt/bin/oxfmt", "--check", "."),
  lint: program("node_modules/oxlint/bin/oxlint", "--type-aware"),
  boundaries: () => listed(boundaryProblems(readSources("ts"))),
  "dead code": program("node_modules/knip/bin/knip.js", "--no-progress", "--no-config-hints"),
  dependencies: () => listed(dependencyProblems(readSources("ts"))),
  sql: () => listed(sqlProblems(readSources("ts"))),
  reasons: () => listed(reasonProblems(readSources("ts"), reasonsOf(readSources("proto")))),
  "lock file": () =>
    listed([...lockProblems(file("package-lock.json")), ...[file("package.json"), ...manifests()].flatMap(manifestProblems)]),
  commits: () => listed(commitProblems()),
};

const words = process.argv.slice(2);
const named = words.filter((word) => !word.startsWith("--"));
const unknown = named.find((name) => !(name in checks));
if (unknown !== undefined || words.some((word) => word.startsWith("--") && word !== "--no-tests")) {
  console.error(`npm run check [-- --no-tests] [-- ${Object.keys(checks).join(" | ")} …]`);
  process.exit(2);
}

const failed = Object.entries(checks)
  .filter(([name]) => named.length === 0 || named.includes(name))
  .filter(([name, check]) => !passes(name, check))
  .map(([name]) => name);

if (named.length === 0 && !words.includes("--no-tests")) {
  const { status } = spawnSync(process.execPath, ["tools/test.ts"], { cwd: root, stdio: "inherit" });
  if (status !== 0) failed.push("tests");
}

if (failed.length > 0) {
  console.error(`\n✖ check failed: ${failed.join(", ")}`);
  process.exit(1);
}
console.log("\n✔ check passed");

function passes(name: string, check: Check): boolean {
  const startedMs = performance.now();
  let problems: string;
  try {
    problems = check();
  } catch (error) {
    problems = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  console.log(`${problems === "" ? "✔" : "✖"} ${name} ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  if (problems !== "") console.error(`${problems.trimEnd()}\n`);
  return problems === "";
}

/** A check that is a program of its own: what it prints when it fails. */
function program(script: string, ...args: readonly string[]): Check {
  return () => {
    // The same node for all, and its folder first on the path for what they start.
    const { status, error, stdout, stderr } = spawnSync(process.execPath, [join(root, script), ...args], {
      cwd: root,
      encoding: "utf8",
      maxBuffer: 2 ** 26,
    });
    if (error !== undefined) throw error;
    return status === 0 ? "" : `${stdout}${stderr}` || `${script} ended with ${status}`;
  };
}

function listed(problems: readonly Problem[]): string {
  return problems.map(shown).join("\n");
}

function file(path: string): Source {
  return { path, text: readFileSync(join(root, path), "utf8") };
}

function manifests(): Source[] {
  return readSources("json").filter(({ path }) => path.endsWith("/package.json"));
}
