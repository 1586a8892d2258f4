/** The ids of the table's rows, in its order. */
export function rowIds(table: string): string[] {
  return [...table.matchAll(/^\|\s*([A-Z]+-?\d+)\s*\|/gm)].map((match) => match[1]!);
}

/** The row ids that stand in a test's name as words of their own: "INV-04 INV-05: nothing is oversold". */
export function rowsIn(name: string): Set<string> {
  return new Set(name.match(/(?<![\w-])[A-Z]+-?\d+(?![\w-])/g));
}

/** What matches the names of tests that carry any of these ids. */
export function rowPattern(ids: readonly string[]): RegExp {
  return new RegExp(`(?<![\\w-])(?:${ids.join("|")})(?![\\w-])`);
}

/** How often the tests of a row passed and failed. */
export interface Tally {
  readonly passed: number;
  readonly failed: number;
}

/** One test as it went: the names of its suites and its own, and whether it passed (a skipped one did not). */
export interface Outcome {
  readonly names: readonly string[];
  readonly passed: boolean;
}

/** The tests of each row. A row may stand in the name of a suite, for all tests of it. */
export function tally(outcomes: readonly Outcome[]): Map<string, Tally> {
  const rows = new Map<string, { passed: number; failed: number }>();
  for (const { names, passed } of outcomes)
    for (const id of new Set(names.flatMap((name) => [...rowsIn(name)]))) {
      const row = rows.get(id) ?? { passed: 0, failed: 0 };
      rows.set(id, row);
      if (passed) row.passed++;
      else row.failed++;
    }
  return rows;
}

/** A row's line: `ORD-09 passed 3`, `CAT-07 failed 1`, `GW-02 none`. */
export function rowLine(id: string, { passed, failed }: Tally = { passed: 0, failed: 0 }): string {
  return `${id} ${failed > 0 ? `failed ${failed}` : passed > 0 ? `passed ${passed}` : "none"}`;
}
