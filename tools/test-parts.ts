// npm run test:engines, npm run test:tools: several runs of tools/test.ts, one after the other. All of them run, whatever fails.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { root } from "./sources.ts";

/** What the tests of each kind are run with. Those that start, stop or fill real servers cannot share them. */
const parts: Readonly<Record<string, readonly (readonly string[])[]>> = {
  engines: [
    ["--kind", "engine", "platform", "services", "gateway", "apps"],
    ["--kind", "engine", "e2e", "--concurrency", "1"],
    ["--kind", "outage", "--concurrency", "1"],
  ],
  tools: [["--kind", "tool", "--concurrency", "1"]],
};

const [name = ""] = process.argv.slice(2);
const wanted = parts[name];
if (wanted === undefined) {
  console.error(`✖ ${name} is none of ${Object.keys(parts).join(", ")}`);
  process.exit(2);
}
const failed = wanted.filter((args) => {
  const { status } = spawnSync(process.execPath, [join(root, "tools/test.ts"), ...args], { cwd: root, stdio: "inherit" });
  return status !== 0;
});
for (const args of failed) console.error(`✖ failed: node tools/test.ts ${args.join(" ")}`);
process.exit(failed.length === 0 ? 0 : 1);
