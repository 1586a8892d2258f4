import { join } from "node:path";
import { run } from "node:test";
import { pathToFileURL } from "node:url";
import { root } from "./sources.ts";
import type { Outcome } from "./rows.ts";

/** A test that did not pass, and why. */
export interface Failure {
  readonly names: readonly string[];
  readonly error: unknown;
}

/** How a run went: every test, and all that failed, suites and whole files too. */
export interface TestRun {
  readonly outcomes: readonly Outcome[];
  readonly failures: readonly Failure[];
}

export interface RunOptions {
  readonly files: readonly string[];
  readonly concurrency: number;
  /** Only tests whose name, or a suite's of theirs, matches. */
  readonly pattern?: RegExp;
  readonly signal?: AbortSignal;
}

const testTimeoutMs = 60_000;

/** Runs test files, each in a process of its own, in an environment that is already set up. */
export async function runTests({ files, concurrency, pattern, signal }: RunOptions): Promise<TestRun> {
  const outcomes: Outcome[] = [];
  const failures: Failure[] = [];
  // Events come in the order of declaration, one file after the other, so that the suites around a test are those last begun.
  const begun: string[] = [];
  const stream = run({
    files: [...files],
    concurrency,
    timeout: testTimeoutMs,
    cwd: root,
    execArgv: ["--import", pathToFileURL(join(import.meta.dirname, "test-guard.ts")).href],
    ...(pattern === undefined ? {} : { testNamePatterns: [pattern] }),
    ...(signal === undefined ? {} : { signal }),
  });
  stream.on("test:start", ({ name, nesting }) => {
    begun.length = nesting;
    begun[nesting] = name;
  });
  stream.on("test:pass", ({ name, nesting, details, skip, todo }) => {
    if (details.type === "suite" || files.includes(name)) return;
    const names = [...begun.slice(0, nesting), name];
    const passed = (skip === undefined || skip === false) && (todo === undefined || todo === false);
    outcomes.push({ names, passed });
    if (!passed) failures.push({ names, error: "skipped" });
  });
  stream.on("test:fail", ({ name, nesting, details }) => {
    const names = [...begun.slice(0, nesting), name];
    if (details.type !== "suite" && !files.includes(name)) outcomes.push({ names, passed: false });
    failures.push({ names, error: details.error.cause ?? details.error });
  });
  stream.resume();
  await new Promise<void>((resolve, reject) => stream.on("end", resolve).on("error", reject));
  return { outcomes, failures };
}
