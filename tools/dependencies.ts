import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { importsOf, isTestCode, packageOf, targetOf } from "./boundaries.ts";
import { readSources, root } from "./sources.ts";
import type { Problem, Source } from "./sources.ts";

//   node tools/dependencies.ts --write    writes docs/dependencies.txt anew

const file = "docs/dependencies.txt";

/**
 * Who imports what of ours, a line a package, and one for what only its tests import. Of the contracts it says whose. Every new edge is a
 * line in review.
 */
export function dependencies(sources: readonly Source[]): string {
  const edges = new Map<string, Set<string>>();
  const edgesOf = (name: string): Set<string> => {
    const known = edges.get(name) ?? new Set();
    edges.set(name, known);
    return known;
  };
  for (const { path, text } of sources.toSorted((one, other) => Number(isTestCode(one.path)) - Number(isTestCode(other.path)))) {
    const own = packageOf(path);
    if (own === undefined) continue;
    const shop = edgesOf(own);
    for (const { from } of importsOf(text)) {
      const target = targetOf(path, from);
      const other = target === undefined ? undefined : packageOf(target);
      if (target === undefined || other === undefined || other === own) continue;
      const edge = other === "contracts" ? contractsOf(target) : other;
      if (!isTestCode(path)) shop.add(edge);
      else if (!shop.has(edge)) edgesOf(`${own}, tests`).add(edge);
    }
  }
  const lines = [...edges]
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([own, others]) => `${own} -> ${[...others].toSorted().join(" ") || "nothing"}`);
  return `# Made by npx node tools/dependencies.ts --write. Package -> packages of ours that it imports.\n${lines.join("\n")}\n`;
}

function contractsOf(target: string): string {
  const service = /^contracts\/gen\/kontor\/([^/]+)\//.exec(target)?.[1];
  return service === undefined ? "contracts" : `contracts/${service}`;
}

/** Whether the committed list is the one that the imports give. */
export function dependencyProblems(sources: readonly Source[]): Problem[] {
  const [committed, found] = [readFileSync(join(root, file), "utf8").split("\n"), dependencies(sources).split("\n")];
  const changed = found.filter((line) => !committed.includes(line));
  const gone = committed.filter((line) => !found.includes(line));
  return [...changed.map((line) => `+ ${line}`), ...gone.map((line) => `- ${line}`)].map((message) => ({
    path: file,
    message: `${message} (npx node tools/dependencies.ts --write)`,
  }));
}

if (import.meta.main) {
  if (process.argv[2] === "--write") writeFileSync(join(root, file), dependencies(readSources("ts")));
  else console.log(dependencies(readSources("ts")));
}
