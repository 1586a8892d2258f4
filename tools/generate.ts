import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync, cpSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { listDrift } from "./lists.ts";
import { docsOf } from "./proto-docs.ts";
import type { FileImage } from "./proto-docs.ts";
import { scalarDrift } from "./scalar-bundle.ts";
import { toolFolder } from "./tool.ts";

// Makes contracts/gen from contracts/proto, the lists that follow from the contracts and the services' definitions, and gateway/pages/scalar from
// tools/scalar where that is installed.
//   node tools/generate.ts              lints, generates, writes the comments to contracts/gen/docs.json
//   node tools/generate.ts --check      generates elsewhere and fails, naming the files, when the tree differs
//   node tools/generate.ts --lint       only lints
//   node tools/generate.ts --breaking   fails when the contracts break what the main branch promises

const root = join(import.meta.dirname, "..");
const gen = join("contracts", "gen");
// Buf is a binary with a small script around it; node runs the script, so that no shell is needed.
const tools = join(toolFolder("buf"), "node_modules");
const bufScript = join(tools, "@bufbuild", "buf", "bin", "buf");

function buf(args: readonly string[], capture = false): string {
  return execFileSync(process.execPath, [bufScript, ...args], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    stdio: ["ignore", capture ? "pipe" : "inherit", "inherit"],
  });
}

/** Generates into `<folder>/contracts/gen`, comments included: buf empties that folder first. */
function generate(folder: string): void {
  buf(["generate", "-o", folder]);
  const image = JSON.parse(buf(["build", "-o", "-#format=json"], true)) as { readonly file: readonly FileImage[] };
  writeFileSync(join(folder, gen, "docs.json"), `${JSON.stringify(docsOf(image.file), null, 2)}\n`);
}

function withScratch<T>(work: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "kontor-generate-"));
  try {
    return work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * The files that differ between the tree and what is generated now; `write` brings the tree up to date. Only they are touched:
 * who runs from the tree meanwhile never finds it empty.
 */
function drift(write: boolean): readonly string[] {
  return withScratch((scratch) => {
    generate(scratch);
    const fresh = filesIn(join(scratch, gen));
    const stored = filesIn(join(root, gen));
    const names = new Set([...fresh.keys(), ...stored.keys()]);
    const files = [...names].filter((name) => fresh.get(name) !== stored.get(name)).toSorted();
    if (write) {
      for (const name of files) {
        if (fresh.has(name)) cpSync(join(scratch, gen, name), join(root, gen, name));
        else rmSync(join(root, gen, name));
      }
    }
    return files;
  });
}

function filesIn(folder: string): ReadonlyMap<string, string> {
  if (!existsSync(folder)) return new Map();
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(
    entries.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [relative(folder, path), readFileSync(path, "utf8")];
    }),
  );
}

/** Compares with the contracts of main, or of the last commit where there is no main. The imports are those installed now. */
function breaking(): void {
  if (!existsSync(join(root, ".git"))) return console.log("there is no history to compare with");
  const git = (args: readonly string[]): Buffer =>
    execFileSync("git", ["-c", `safe.directory=${root}`, ...args], { cwd: root, stdio: ["ignore", "pipe", "pipe"], maxBuffer: 2 ** 28 });
  const refs = git(["for-each-ref", "--format=%(refname)", "refs/remotes/origin/main", "refs/heads/main"]).toString().split("\n");
  const ref = ["refs/remotes/origin/main", "refs/heads/main"].find((name) => refs.includes(name)) ?? "HEAD";
  if (git(["ls-tree", "-r", "--name-only", ref, "contracts/proto"]).length === 0)
    return console.log(`${ref} has no contracts to compare with`);
  withScratch((scratch) => {
    const archive = join(scratch, "contracts.tar");
    writeFileSync(archive, git(["archive", ref, "contracts/proto", "buf.yaml"]));
    execFileSync("tar", ["-xf", archive, "-C", scratch]);
    // Where the compared version looks for them.
    const imports = /- path: (\S+protobufjs)$/m.exec(readFileSync(join(scratch, "buf.yaml"), "utf8"))?.[1];
    if (imports !== undefined)
      cpSync(join(tools, "protobufjs", "google", "api"), join(scratch, imports, "google", "api"), { recursive: true });
    buf(["breaking", "--against", scratch]);
  });
}

const mode = process.argv[2];
if (mode === "--check") {
  const files = [...drift(false).map((file) => join(gen, file)), ...(await listDrift(false)), ...scalarDrift(root, false)];
  for (const file of files) console.error(`${file} is not what is generated`);
  if (files.length > 0) {
    console.error("run `npm run generate` and commit the result");
    process.exitCode = 1;
  }
} else if (mode === "--lint") buf(["lint"]);
else if (mode === "--breaking") breaking();
else if (mode === undefined) {
  buf(["lint"]);
  for (const file of drift(true)) console.log(join(gen, file));
  for (const file of [...(await listDrift(true)), ...scalarDrift(root, true)]) console.log(file);
} else {
  console.error(`${mode} is none of --check, --lint, --breaking`);
  process.exitCode = 2;
}
