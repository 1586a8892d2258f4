import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

//   node tools/tool.ts [buf mermaid …]    installs these tools, or all of them, where that has not been done

const folder = import.meta.dirname;

/** The tools that neither a shop nor `npm test` needs: each has its folder here, with a lock file of its own. */
export function toolNames(): string[] {
  return globSync("*/package.json", { cwd: folder, exclude: (name) => name === "node_modules" })
    .map((path) => basename(dirname(path)))
    .toSorted();
}

/** Whether a tool is installed as its lock file says. */
export function isInstalled(name: string): boolean {
  const file = markerOf(name);
  return existsSync(file) && readFileSync(file, "utf8") === lockHash(name);
}

/** The folder of a tool, which is installed there first where that has not been done. Throws when there is no such tool, or npm fails. */
export function toolFolder(name: string): string {
  const path = join(folder, name);
  if (!existsSync(join(path, "package.json"))) throw new Error(`${name} is none of the tools: ${toolNames().join(", ")}`);
  if (isInstalled(name)) return path;
  // Without the variables that an npm which runs this has set: they are about another folder.
  const env = Object.fromEntries(Object.entries(process.env).filter(([variable]) => !/^npm_(config|package|lifecycle)/i.test(variable)));
  const { status, error } = npm(["ci", "--no-audit", "--no-fund"], { cwd: path, env });
  if (status !== 0) throw new Error(`tools/${name} could not be installed: npm ci ended with ${status}`, { cause: error });
  writeFileSync(markerOf(name), lockHash(name));
  return path;
}

/** Runs the npm that runs this, or the one on the path. What it prints goes to standard error: standard output is the caller's. */
export function npm(args: readonly string[], options: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv }) {
  const script = process.env["npm_execpath"];
  const [command, words] = script === undefined ? ["npm", args] : [process.execPath, [script, ...args]];
  return spawnSync(command, words, {
    ...options,
    stdio: ["ignore", 2, 2],
    shell: script === undefined && process.platform === "win32",
  });
}

function markerOf(name: string): string {
  return join(folder, name, "node_modules", ".installed");
}

function lockHash(name: string): string {
  return createHash("sha256")
    .update(readFileSync(join(folder, name, "package-lock.json")))
    .digest("hex");
}

if (import.meta.main) for (const name of process.argv.length > 2 ? process.argv.slice(2) : toolNames()) toolFolder(name);
