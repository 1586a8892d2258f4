import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** The repository's root. */
export const root: string = resolve(import.meta.dirname, "..");

/** A file of ours: its path from the root, with `/`, and its text. */
export interface Source {
  readonly path: string;
  readonly text: string;
}

/** Something that a check found wrong. */
export interface Problem {
  readonly path: string;
  readonly line?: number;
  readonly message: string;
}

const folders = ["contracts", "platform", "services", "gateway", "apps", "e2e", "bench", "tools"];

/** All files of ours with one of these endings, sorted by path. Made ones (`contracts/gen`) are left out. */
export function readSources(...endings: readonly string[]): Source[] {
  const patterns = folders.flatMap((folder) => endings.map((ending) => `${folder}/**/*.${ending}`));
  return globSync(patterns, { cwd: root, exclude: (name) => name === "node_modules" || name === "gen" })
    .map((path) => path.replaceAll("\\", "/"))
    .toSorted()
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

/** One file, by its path from the root. */
export function file(path: string): Source {
  return { path, text: readFileSync(join(root, path), "utf8") };
}

/** The `package.json` of the root and of every workspace; a tool with a lock file of its own is none. */
export function manifests(): Source[] {
  return [file("package.json"), ...readSources("json").filter(({ path }) => path.endsWith("/package.json") && !/^tools\/.+\//.test(path))];
}

/** The number of the line in which this place of the text is. */
export function lineAt(text: string, place: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at !== -1 && at < place; at = text.indexOf("\n", at + 1)) line++;
  return line;
}

/** `path:line message`, as editors and terminals link it. */
export function shown({ path, line, message }: Problem): string {
  return `${path}${line === undefined ? "" : `:${line}`} ${message}`;
}
