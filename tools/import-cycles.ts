import { importsOf, targetOf } from "./boundaries.ts";
import type { Problem, Source } from "./sources.ts";

/**
 * Circles of imports: between files, and between the folders of the platform, each of which is a seam. Type-only imports count too: what can be
 * understood only together with what it is used by is in two places that are one. Each circle is reported once, by its shortest path.
 */
export function importCycles(sources: readonly Source[]): Problem[] {
  const files = new Map<string, Set<string>>();
  const folders = new Map<string, Set<string>>();
  const known = new Set(sources.map(({ path }) => path));
  for (const { path, text } of sources) {
    const targets = importsOf(text).flatMap(({ from }) => targetOf(path, from) ?? []);
    files.set(path, new Set(targets.filter((target) => target !== path && known.has(target))));
    const own = seamOf(path);
    if (own === undefined || isAroundSeams(path)) continue;
    const others = folders.get(own) ?? new Set();
    folders.set(own, others);
    for (const target of targets) {
      const other = seamOf(target);
      if (other !== undefined && other !== own) others.add(other);
    }
  }
  return [...cyclesIn(files), ...cyclesIn(folders)].map((circle) => ({
    path: circle[0]!,
    message: `imports itself: ${[...circle, circle[0]!].join(" -> ")}`,
  }));
}

/** "platform/events": a folder of the platform. */
function seamOf(path: string): string | undefined {
  return /^platform\/[^/]+(?=\/)/.exec(path)?.[0];
}

/** Tests open what they please, and what they share is for them alone. */
function isAroundSeams(path: string): boolean {
  return /\.(?:test|contract)\.ts$|\/(?:open-)?test-[\w-]+\.ts$|^platform\/testing\//.test(path);
}

/** One shortest circle through each group of nodes that lead to each other. */
function cyclesIn(graph: ReadonlyMap<string, ReadonlySet<string>>): string[][] {
  const circles: string[][] = [];
  const seen = new Set<string>();
  for (const start of graph.keys()) {
    if (seen.has(start)) continue;
    const circle = shortestCircle(graph, start);
    if (circle === undefined) continue;
    for (const node of circle) seen.add(node);
    circles.push(circle);
  }
  return circles;
}

/** Breadth first from a node back to itself; undefined when there is no way. */
function shortestCircle(graph: ReadonlyMap<string, ReadonlySet<string>>, start: string): string[] | undefined {
  const cameFrom = new Map<string, string>();
  const queue = [start];
  for (let node = queue.shift(); node !== undefined; node = queue.shift())
    for (const next of graph.get(node) ?? []) {
      if (next === start) return pathTo(node, cameFrom, start);
      if (cameFrom.has(next)) continue;
      cameFrom.set(next, node);
      queue.push(next);
    }
  return undefined;
}

function pathTo(node: string, cameFrom: ReadonlyMap<string, string>, start: string): string[] {
  const path = [node];
  for (let at = node; at !== start; path.unshift(at)) at = cameFrom.get(at)!;
  return path;
}
