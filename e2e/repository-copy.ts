import { execFile, execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterTests } from "@kontor/platform/testing/postgres.ts";

const root = join(import.meta.dirname, "..");

/** A copy of this repository that a test may change, with the installed packages; deleted after the test or suite. */
export interface RepositoryCopy {
  readonly folder: string;
  /** Makes a new workspace known as @kontor/<name>, as `npm install` does. */
  link(name: string, workspace: string): void;
  /** Runs a script of the copy with this Node. Rejects with what it printed when it fails. */
  run(script: string, ...args: readonly string[]): Promise<void>;
  /** A module of the copy. */
  load<Module>(path: string): Promise<Module>;
  /** The files that are not as in this repository. */
  changed(): readonly string[];
  /** How many lines of a file are not in this repository's file. */
  addedLines(path: string): number;
}

export function copyRepository(): RepositoryCopy {
  // The real path: a script compares its own with the one that it was started by.
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "kontor-copy-")));
  afterTests(() => rmSync(folder, { recursive: true, force: true }));
  const files = filesOf(root);
  for (const file of files) cpSync(join(root, file), join(folder, file));
  for (const packages of ["node_modules", ...globSync("tools/*/node_modules", { cwd: root })]) {
    mkdirSync(join(folder, packages), { recursive: true });
    for (const name of readdirSync(join(root, packages)))
      if (name !== "@kontor") symlinkSync(join(root, packages, name), join(folder, packages, name));
  }
  // Those of the workspaces lead into the copy.
  const workspaces = join(root, "node_modules/@kontor");
  mkdirSync(join(folder, "node_modules/@kontor"));
  const link = (name: string, workspace: string) => symlinkSync(join(folder, workspace), join(folder, "node_modules/@kontor", name));
  for (const name of readdirSync(workspaces)) link(name, relative(root, realpathSync(join(workspaces, name))));
  execFileSync("git", ["init", "--quiet"], { cwd: folder });

  return {
    folder,
    link,
    run: async (script, ...args) => {
      const { NODE_TEST_CONTEXT: _, ...env } = process.env;
      await promisify(execFile)(process.execPath, [join(folder, script), ...args], { cwd: folder, env, maxBuffer: 2 ** 26 }).catch(
        (error: unknown) => {
          const { stdout, stderr } = error as { readonly stdout: string; readonly stderr: string }; // as execFile rejects
          throw new Error(`${script} ${args.join(" ")} failed:\n${stdout}${stderr}`);
        },
      );
    },
    load: async <Module>(path: string) => (await import(pathToFileURL(join(folder, path)).href)) as Module,
    changed: () => [...new Set([...files, ...filesOf(folder)])].filter((file) => textOf(folder, file) !== textOf(root, file)).toSorted(),
    addedLines: (path) => {
      const before = textOf(root, path)?.split("\n") ?? [];
      return (textOf(folder, path)?.split("\n") ?? []).filter((line) => !before.includes(line)).length;
    },
  };
}

/** Those that git has or would add. */
function filesOf(folder: string): string[] {
  const list = execFileSync("git", ["-c", `safe.directory=${folder}`, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: folder,
    encoding: "utf8",
  });
  return list.split("\0").filter((file) => file !== "" && existsSync(join(folder, file)));
}

function textOf(folder: string, file: string): string | undefined {
  return existsSync(join(folder, file)) ? readFileSync(join(folder, file), "latin1") : undefined;
}
