import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

/**
 * `npm run lock`: brings package-lock.json up to date, for every machine, and without download addresses: each package is found by its
 * name and version at whatever registry npm is set to, and held to its hash.
 */
const file = new URL("../package-lock.json", import.meta.url);

interface Lock {
  readonly packages: Readonly<Record<string, { resolved?: string; readonly link?: boolean }>>;
}

const install = spawnSync("npm", ["install", "--package-lock-only", "--no-audit", "--no-fund"], { stdio: "inherit" });
if (install.status !== 0) process.exit(install.status ?? 1);
const lock = JSON.parse(readFileSync(file, "utf8")) as Lock;
for (const entry of Object.values(lock.packages)) if (entry.link !== true) delete entry.resolved;
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
