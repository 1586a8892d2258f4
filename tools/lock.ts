import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./sources.ts";
import { npm, toolNames } from "./tool.ts";

/**
 * `npm run lock`: brings package-lock.json up to date, and those of the tools. A lock file holds no download addresses: each package is found by its name and version at
 * whatever registry npm is set to, and held to its hash. And it holds the packages of every machine: those that the registry at hand did
 * not offer when the lock was made are entered by version, because `npm ci` refuses a lock without them.
 */
interface Entry {
  version?: string;
  resolved?: string;
  link?: boolean;
  optional?: boolean;
  os?: readonly string[];
  cpu?: readonly string[];
  optionalDependencies?: Readonly<Record<string, string>>;
}

const systems: Readonly<Record<string, string>> = {
  darwin: "darwin",
  win: "win32",
  win32: "win32",
  linux: "linux",
  android: "android",
  freebsd: "freebsd",
  openharmony: "openharmony",
};
const processors: Readonly<Record<string, string>> = {
  arm64: "arm64",
  x64: "x64",
  arm: "arm",
  armv7: "arm",
  ia32: "ia32",
  ppc64: "ppc64",
  riscv64: "riscv64",
  s390x: "s390x",
};

/** What a package's name says of the machine that it is for: "@oxlint/binding-darwin-arm64". */
function machineOf(name: string): Pick<Entry, "os" | "cpu"> {
  const words = name.split(/[/-]/);
  const os = words.map((word) => systems[word]).find((system) => system !== undefined);
  const cpu = words.map((word) => processors[word]).find((processor) => processor !== undefined);
  return { ...(cpu !== undefined && { cpu: [cpu] }), ...(os !== undefined && { os: [os] }) };
}

for (const folder of [root, ...toolNames().map((name) => join(import.meta.dirname, name))]) writeLock(folder);

function writeLock(folder: string): void {
  const { status } = npm(["install", "--package-lock-only", "--no-audit", "--no-fund", "--omit-lockfile-registry-resolved=false"], {
    cwd: folder,
  });
  if (status !== 0) process.exit(status ?? 1);
  const file = join(folder, "package-lock.json");
  const lock = JSON.parse(readFileSync(file, "utf8")) as { packages: Record<string, Entry> };
  for (const entry of Object.values(lock.packages)) {
    if (entry.link !== true) delete entry.resolved;
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {}))
      if (/^\d/.test(version)) lock.packages[`node_modules/${name}`] ??= { version, ...machineOf(name), optional: true };
  }
  lock.packages = Object.fromEntries(Object.entries(lock.packages).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
}
