// npm test: runs the tests against one embedded PostgreSQL. `node tools/test.ts --help` lists the options.
import { globSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { pathToFileURL } from "node:url";
import { testVariable } from "../platform/testing/names.ts";
import { prepareTestServer, startTestServer, type TestServer } from "../platform/testing/server.ts";
import { postgresOf } from "./postgres-of.ts";
import { toolFolder } from "./tool.ts";

const usage = `node tools/test.ts [file, folder or glob …] [--kind engine] [--grep pattern] [--postgres 16] [--concurrency 2] [-- option of node …]
Runs *.unit.test.ts, *.int.test.ts and *.e2e.test.ts: all of them, or those named.
--kind         other files instead: engine (needs the real servers), outage (stops and starts them), tool (installs what is in tools/<name>), browser (needs chromium)
--grep         only tests whose name matches
--postgres     another version: 16 is in tools/postgres-16; ${testVariable} names a server of your own instead
--concurrency  files at a time`;

const root = resolve(import.meta.dirname, "..");
const testTimeoutMs = 60_000;
const fileTimeoutMs = 300_000;

const { paths, kinds, grep, postgres, concurrency, forNode } = readArguments(process.argv.slice(2));
const files = [...new Set(paths.flatMap(testFiles))].toSorted();
if (files.length === 0) fail("no test files");

const processes = mkdtempSync(join(tmpdir(), `kontor-test-${process.pid}-processes-`));
const abort = new AbortController();
let server: TestServer | undefined;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.once(signal, () => {
    process.exitCode = 128 + constants.signals[signal];
    abort.abort();
    setTimeout(() => process.exit(), 20_000).unref();
  });

try {
  const own = process.env[testVariable];
  if (own !== undefined && own !== "") await prepareTestServer(own);
  else if (files.some((file) => !file.endsWith(".unit.test.ts"))) {
    server = await startTestServer(postgres === undefined ? {} : { binaries: postgresOf(toolFolder(`postgres-${postgres}`)) });
    process.env[testVariable] = server.url;
  }
  process.env["KONTOR_TEST_PROCESSES"] = processes;
  if (!abort.signal.aborted) await runFiles();
} finally {
  endProcesses(() => true);
  await server?.stop();
  rmSync(processes, { recursive: true, force: true });
}
process.exit();

async function runFiles(): Promise<void> {
  const problems: string[] = [];
  const filesWithTests = new Set<string>();
  const hanging = new Map<string, NodeJS.Timeout>();
  let tests = 0;
  const stream = run({
    files,
    concurrency,
    timeout: testTimeoutMs,
    signal: abort.signal,
    cwd: root,
    execArgv: ["--import", pathToFileURL(join(import.meta.dirname, "test-guard.ts")).href, ...forNode],
    ...(grep.length === 0 ? {} : { testNamePatterns: grep }),
  });
  stream.on("test:dequeue", ({ name, nesting }) => {
    // A file is a test of the runner's own, named by its path.
    if (nesting !== 0 || !files.includes(name)) return;
    const hang = (): void => {
      problems.push(`${relative(root, name)} took longer than ${fileTimeoutMs / 1000} s and was ended`);
      endProcesses((file) => file === name);
    };
    hanging.set(name, setTimeout(hang, fileTimeoutMs));
  });
  stream.on("test:complete", ({ name }) => clearTimeout(hanging.get(name)));
  for (const event of ["test:pass", "test:fail"] as const)
    stream.on(event, ({ name, file, details, skip, todo }) => {
      if (details.type === "suite" || (file !== undefined && name === file) || files.includes(name)) return;
      tests++;
      const where = `${name} (${file === undefined ? "?" : relative(root, file)})`;
      if (skip !== undefined && skip !== false) problems.push(`skipped: ${where}`);
      if (todo !== undefined && todo !== false) problems.push(`to do: ${where}`);
    });
  let success = true;
  stream.on("test:summary", (summary) => {
    success &&= summary.success;
    // A test's own `file` is where it is written, which for a contract suite is not the file that ran it.
    if (summary.file !== undefined && summary.counts.tests > 0) filesWithTests.add(summary.file);
  });
  const output = stream.compose(spec);
  for await (const text of output) process.stdout.write(String(text));
  for (const timer of hanging.values()) clearTimeout(timer);
  if (abort.signal.aborted) problems.push("interrupted");
  if (tests === 0) problems.push("no test ran");
  else if (grep.length === 0 && forNode.length === 0)
    for (const file of files) if (!filesWithTests.has(file)) problems.push(`no test ran in ${relative(root, file)}`);
  for (const problem of problems) console.error(`✖ ${problem}`);
  if (!success || problems.length > 0) process.exitCode ||= 1;
}

/** Ends the processes of test files that are still there. */
function endProcesses(which: (file: string) => boolean): void {
  for (const pid of readdirSync(processes)) {
    if (!which(readFileSync(join(processes, pid), "utf8"))) continue;
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

function testFiles(path: string): string[] {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats?.isFile() === true) return [resolve(path)];
  const patterns = stats?.isDirectory() === true ? kinds.map((kind) => join(path, `**/*.${kind}.test.ts`)) : [path];
  const found = globSync(patterns, { exclude: (name) => name === "node_modules" || name === ".git" }).map((file) => resolve(file));
  if (found.length === 0) fail(`no test files in ${path}`);
  return found.filter((file) => statSync(file).isFile());
}

function readArguments(words: string[]) {
  const read = {
    paths: [] as string[],
    kinds: [] as string[],
    grep: [] as string[],
    postgres: undefined as string | undefined,
    concurrency: 2,
    forNode: [] as string[],
  };
  const rest = words.values();
  for (const word of rest) {
    const [option = "", inline] = word.startsWith("--") ? word.split(/=(.*)/s) : [];
    const value = (): string => inline ?? rest.next().value ?? fail(`${option} needs a value`);
    if (word === "--") read.forNode.push(...rest);
    else if (option === "--kind") read.kinds.push(value());
    else if (option === "--grep") read.grep.push(value());
    else if (option === "--postgres") read.postgres = value();
    else if (option === "--concurrency") read.concurrency = Number(value());
    else if (option === "--help") {
      console.log(usage);
      process.exit(0);
    } else if (option !== "")
      // npm takes a lone -- away.
      read.forNode.push(word);
    else read.paths.push(word);
  }
  if (read.paths.length === 0) read.paths.push(root);
  if (read.kinds.length === 0) read.kinds.push("unit", "int", "e2e");
  return read;
}

function fail(problem: string): never {
  console.error(`✖ ${problem}\n${usage}`);
  process.exit(1);
}
