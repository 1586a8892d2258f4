import { plain } from "./paint.ts";

/** Rows under their heads, in columns as wide as they need to be; a trailing column is never padded. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [heads, ...rows].map((row) => row.map(plain));
  const widths = heads.map((_, at) => Math.max(...all.map((row) => row[at]?.length ?? 0)));
  return all
    .map(
      (row) =>
        `${row
          .map((cell, at) => (at === row.length - 1 ? cell : cell.padEnd(widths[at] ?? 0)))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}
