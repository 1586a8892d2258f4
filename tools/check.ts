// npm run check: everything that must hold before a change is good, tests last. With --no-tests without them; with names, only those.
import { spawnSync } from "node:child_process";
import { performance } from "node:perf_hooks";
import { checks } from "./checks.ts";
import type { Check } from "./checks.ts";
import { root } from "./sources.ts";

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
