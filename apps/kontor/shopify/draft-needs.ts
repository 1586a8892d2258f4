import type { NumberForm } from "./amounts.ts";
import type { Columns } from "./columns.ts";
import type { Report } from "./findings.ts";
import type { Skus } from "./skus.ts";

/** A row of the file, at its line. */
export interface Row {
  readonly line: number;
  readonly cells: readonly string[];
}

/** What the rows of a product are read with. */
export interface DraftNeeds {
  readonly columns: Columns;
  readonly currency: string;
  /** How the file writes numbers. */
  readonly numbers: NumberForm;
  readonly skus: Skus;
  readonly report: Report;
}
