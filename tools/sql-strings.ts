import { lineAt } from "./sources.ts";
import type { Problem, Source } from "./sources.ts";

/** What may speak to a driver itself; all else writes `sql` templates, whose values are parameters. */
const drivers = /^platform\/(database|testing)\//;

const patterns: readonly [pattern: RegExp, message: string][] = [
  [/\.query\(\s*(?:`|"[^"]*"\s*\+|'[^']*'\s*\+|\w+\s*\+)/g, "a statement built from texts: write an sql template"],
  [/\bsql\s*\(/g, "sql is a tag, not a function: sql`…`"],
  [/\bsql\.script\s*\(/g, "only migrations are whole scripts"],
  [/\bfrom\s+["']pg(?:-[\w-]+)?["']/g, "the driver is platform/database's alone"],
  [
    /(?<=(?:[=(,:?[{]|return|=>)\s*)`\s*(?:select\s+\S[^`]*\sfrom\s|insert\s+into\s|update\s+\w+\s+set\s|delete\s+from\s)/gi,
    "SQL outside of an sql template",
  ],
];

/** Statements that are not `sql` templates. Tests and measurements are left out: they look at a database from outside. */
export function sqlProblems(sources: readonly Source[]): Problem[] {
  return sources
    .filter(({ path }) => !drivers.test(path) && !path.endsWith(".test.ts") && !/^(tools|bench)\//.test(path))
    .map(({ path, text }) => ({ path, text: text.replace(/^\s*\/\*\*[\s\S]*?\*\//gm, (comment) => comment.replace(/[^\n]/g, " ")) }))
    .flatMap(({ path, text }) =>
      patterns.flatMap(([pattern, message]) =>
        [...text.matchAll(pattern)].map((match) => ({ path, line: lineAt(text, match.index), message })),
      ),
    );
}
