/** Something in the file that did not come over as it stands: a row or product that was left out, or a detail that was changed. */
export interface Finding {
  readonly kind: "rejected" | "note";
  readonly line: number;
  /** The product's, "" when the row does not say. */
  readonly handle: string;
  /** The column at fault, as the file calls it; "" when it is no single one's. */
  readonly column: string;
  readonly message: string;
}

/** Who hears of findings, as they are made. */
export type Report = (finding: Finding) => void;
