/** Something in the file that was not imported as it is: a row or product that was left out, or a detail that was changed. */
export interface Finding {
  readonly kind: "rejected" | "note";
  readonly line: number;
  /** The product's handle; "" when the row does not say. */
  readonly handle: string;
  /** The column at fault, by the file's name for it; "" when it is not a single one. */
  readonly column: string;
  readonly message: string;
}

/** Called with each finding as it is made. */
export type Report = (finding: Finding) => void;
