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

const tableless: (typeof patterns)[number] = [/\bsql`/g, "verify asks for facts: SQL stays with the service or seam that owns the table"];

/** What compares services knows their facts, not their tables. */
const withoutSql = /^apps\/kontor\/verify\/(?!test-)/;

/** Statements that are not `sql` templates, and `sql` templates where no SQL belongs. Tests and measurements are left out: they look at a database from outside. */
export function sqlProblems(sources: readonly Source[]): Problem[] {
  return sources
    .filter(({ path }) => !drivers.test(path) && !path.endsWith(".test.ts") && !/^(tools|bench)\//.test(path))
    .map(({ path, text }) => ({ path, text: text.replace(/^\s*\/\*\*[\s\S]*?\*\//gm, (comment) => comment.replace(/[^\n]/g, " ")) }))
    .flatMap(({ path, text }) =>
      [...patterns, ...(withoutSql.test(path) ? [tableless] : [])].flatMap(([pattern, message]) =>
        [...text.matchAll(pattern)].map((match) => ({ path, line: lineAt(text, match.index), message })),
      ),
    );
}
