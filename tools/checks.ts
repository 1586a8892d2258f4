import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { boundaryProblems } from "./boundaries.ts";
import { commitProblems } from "./commits.ts";
import { dependencyProblems } from "./dependencies.ts";
import { importCycles } from "./import-cycles.ts";
import { lockProblems, manifestProblems, workspaceProblems } from "./lock-file.ts";
import { platformProblems } from "./platform-exports.ts";
import { reasonProblems, reasonsOf } from "./reasons.ts";
import { file, manifests, readSources, root, shown } from "./sources.ts";
import type { Problem } from "./sources.ts";
import { sqlProblems } from "./sql-strings.ts";
import { swallowedErrors } from "./swallowed-errors.ts";
import { toolNames } from "./tool.ts";

/** What a check says: nothing when all is well. */
export type Check = () => string;

/** Everything that must hold before a change is good, by name, in the order in which it is checked. */
export const checks: Readonly<Record<string, Check>> = {
  generate: program("tools/generate.ts", "--check"),
  contracts: program("tools/generate.ts", "--lint"),
  types: program("node_modules/typescript/bin/tsc", "--noEmit"),
  format: program("node_modules/oxfmt/bin/oxfmt", "--check", "."),
  lint: program("node_modules/oxlint/bin/oxlint", "--type-aware"),
  boundaries: () => {
    const [sources, offer] = [readSources("ts"), { manifest: file("platform/package.json"), readme: file("platform/README.md") }];
    return listed([...boundaryProblems(sources), ...platformProblems(sources, offer)]);
  },
  "import cycles": () => listed(importCycles(readSources("ts"))),
  "dead code": program("node_modules/knip/bin/knip.js", "--no-progress", "--no-config-hints"),
  dependencies: () => listed(dependencyProblems(readSources("ts"))),
  sql: () => listed(sqlProblems(readSources("ts"))),
  "swallowed errors": () => listed(swallowedErrors(readSources("ts"))),
  reasons: () => listed(reasonProblems(readSources("ts"), reasonsOf(readSources("proto")))),
  "lock file": () => {
    const [lock, all] = [file("package-lock.json"), manifests()];
    const tools = toolNames();
    const toolLocks = tools.map((name) => file(`tools/${name}/package-lock.json`));
    const toolManifests = tools.map((name) => file(`tools/${name}/package.json`));
    return listed([
      ...[lock, ...toolLocks].flatMap(lockProblems),
      ...workspaceProblems(lock, all),
      ...[...all, ...toolManifests].flatMap(manifestProblems),
    ]);
  },
  commits: () => listed(commitProblems()),
};

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
