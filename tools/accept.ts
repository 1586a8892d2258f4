// npm run accept: what passes, row by row of docs/requirements.md. With ids, only those: npm run accept -- ORD-09 INV-05
// Where ENGINE_… variables name real servers, the tests that need them run too.
import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { testVariable } from "@kontor/platform/testing/names.ts";
import { prepareTestServer, startTestServer } from "@kontor/platform/testing/server.ts";
import { filesOfRows } from "./files-of-rows.ts";
import { rowIds, rowLine, rowPattern, tally } from "./rows.ts";
import type { Outcome } from "./rows.ts";
import { runTests } from "./run-tests.ts";
import type { Failure } from "./run-tests.ts";
import { root } from "./sources.ts";

const asked = [...new Set(process.argv.slice(2))];
const wrong = asked.find((id) => !/^[A-Z]+-?\d+$/.test(id));
if (wrong !== undefined) {
  console.error(`${wrong === "--help" ? "" : `✖ ${wrong} is no id of a row\n`}npm run accept [-- ORD-09 INV-05 …]`);
  process.exit(wrong === "--help" ? 0 : 2);
}

const engines = Object.entries(process.env).some(([name, value]) => name.startsWith("ENGINE_") && value !== "");
/** Those that fill, stop and start the real servers cannot share them. */
const alone = (file: string): boolean => /\.outage\.test\.ts$|[\\/]e2e[\\/].*\.engine\.test\.ts$|\.tool\.test\.ts$/.test(file);
const all = globSync(
  ["unit", "int", "e2e", "tool", ...(engines ? ["engine", "outage"] : [])].map((kind) => `**/*.${kind}.test.ts`),
  { cwd: root, exclude: (name) => name === "node_modules" },
)
  .map((file) => resolve(root, file))
  .toSorted();
const files = asked.length === 0 ? all : filesOfRows(all, asked);
const runs = [
  { files: files.filter((file) => !alone(file)), concurrency: 2 },
  { files: files.filter(alone), concurrency: 1 },
];

// As many as a minute is enough for; npm test plays a few.
process.env["KONTOR_MODEL_SEQUENCES"] ??= "100";

const abort = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => abort.abort());

const own = process.env[testVariable];
const needed = files.some((file) => !file.endsWith(".unit.test.ts"));
const server = needed && (own === undefined || own === "") ? await startTestServer() : undefined;
if (server !== undefined) process.env[testVariable] = server.url;
else if (needed) await prepareTestServer(own!);

try {
  const pattern = asked.length === 0 ? {} : { pattern: rowPattern(asked) };
  const outcomes: Outcome[] = [];
  const failures: Failure[] = [];
  for (const run of runs) {
    if (run.files.length === 0) continue;
    const ran = await runTests({ ...run, signal: abort.signal, ...pattern });
    outcomes.push(...ran.outcomes);
    failures.push(...ran.failures);
  }
  const tallies = tally(outcomes);
  const rows = asked.length > 0 ? asked : rowIds(readFileSync(join(root, "docs/requirements.md"), "utf8"));
  for (const failure of failures) console.error(described(failure));
  for (const id of rows) console.log(rowLine(id, tallies.get(id)));
  const unproven = rows.filter((id) => (tallies.get(id)?.failed ?? 0) > 0 || (asked.length > 0 && !tallies.has(id)));
  if (unproven.length > 0 || failures.length > 0 || abort.signal.aborted) process.exitCode = 1;
} finally {
  await server?.stop();
}
process.exit();

function described({ names, error }: Failure): string {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `✖ ${names.join(" > ")}\n${text.replace(/^/gm, "    ")}\n`;
}
