import { access, constants, stat, statfs } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { binariesPackage, findBinaries } from "@kontor/platform/database/embedded-binaries.ts";
import { codeOf } from "@kontor/platform/database/embedded-failure.ts";
import { otherUserWhenRoot } from "@kontor/platform/database/embedded-user.ts";
import { checked } from "./check.ts";
import type { Check } from "./check.ts";

const nodeMajorMin = 24;
const gibibyte = 2 ** 30;
const freeBytesWrong = gibibyte / 4;
const freeBytesWarn = gibibyte;

/** Checks what the shop needs of this machine: Node, PostgreSQL's binaries, and a folder with free space. */
export async function checkMachine(folder: string): Promise<Check[]> {
  return [
    checkNode(process.versions.node),
    await checked("PostgreSQL", checkBinaries),
    await checked("data folder", () => checkFolder(resolve(folder))),
  ];
}

export function checkNode(version: string): Check {
  const about = "Node";
  if (Number(version.split(".")[0]) >= nodeMajorMin) return { verdict: "ok", about, text: version };
  return {
    verdict: "wrong",
    about,
    text: `${version} is too old`,
    advice: `Use Node ${nodeMajorMin} or later; npm ci installs one, which npx kontor uses.`,
  };
}

async function checkBinaries(): Promise<Check> {
  const user = await otherUserWhenRoot();
  const { version } = await findBinaries(binariesPackage, user);
  return {
    verdict: "ok",
    about: "PostgreSQL",
    text: `${version} for ${process.platform} ${process.arch}${user === undefined ? "" : `, run as user ${user.name}`}`,
  };
}

async function checkFolder(folder: string): Promise<Check> {
  const about = "data folder";
  const there = await nearest(folder);
  if (!(await stat(there)).isDirectory())
    return { verdict: "wrong", about, text: `${there} is not a folder`, advice: "Move that file elsewhere, or set KONTOR_DATA." };
  try {
    await access(there, constants.W_OK | constants.X_OK);
  } catch {
    return { verdict: "wrong", about, text: `${there} cannot be written`, advice: "Make it writable for this user, or set KONTOR_DATA." };
  }
  const { bavail, bsize } = await statfs(there);
  const free = bavail * bsize;
  const text = `${folder}${there === folder ? "" : " (not created yet)"}, ${(free / gibibyte).toFixed(1)} GiB free`;
  if (free >= freeBytesWarn) return { verdict: "ok", about, text };
  return { verdict: free < freeBytesWrong ? "wrong" : "warn", about, text, advice: "Free some space on its disk." };
}

/** The folder, or the nearest one above it that exists. */
async function nearest(folder: string): Promise<string> {
  for (let at = folder; ; at = dirname(at)) {
    const found = await stat(at).catch((error: unknown) => {
      if (["ENOENT", "ENOTDIR"].includes(codeOf(error) ?? "")) return undefined;
      throw error;
    });
    if (found !== undefined || at === dirname(at)) return at;
  }
}

/** Whether the folder has the data of a shop. */
export async function hasShop(folder: string): Promise<boolean> {
  return stat(join(resolve(folder), "postgres")).then(
    () => true,
    () => false,
  );
}
