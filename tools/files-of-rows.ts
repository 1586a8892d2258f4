import { existsSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { importsOf, targetOf } from "./boundaries.ts";
import { rowPattern } from "./rows.ts";
import { root } from "./sources.ts";

/**
 * The test files that may have tests of these rows: an id stands in the file or in one that it imports from beside it, or in a contract
 * suite of another package. Running the others would only start them to find that there is nothing to do.
 */
export function filesOfRows(files: readonly string[], ids: readonly string[]): string[] {
  const pattern = rowPattern(ids);
  const known = new Map<string, { readonly names: boolean; readonly imports: readonly string[] }>();
  const facts = (file: string): { readonly names: boolean; readonly imports: readonly string[] } => {
    let found = known.get(file);
    if (found === undefined) {
      const text = existsSync(file) ? readFileSync(file, "utf8") : "";
      const path = relative(root, file).replaceAll("\\", "/");
      const imports = importsOf(text)
        .filter(({ from }) => /^\..*\.ts$|\.contract\.ts$/.test(from))
        .flatMap(({ from }) => targetOf(path, from) ?? [])
        .map((target) => join(root, target));
      known.set(file, (found = { names: pattern.test(text), imports }));
    }
    return found;
  };
  return files.filter((file) => {
    const seen = new Set<string>();
    const names = (at: string): boolean => {
      if (seen.has(at)) return false;
      seen.add(at);
      return facts(at).names || facts(at).imports.some(names);
    };
    return names(file);
  });
}
