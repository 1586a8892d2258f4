import { createHash } from "node:crypto";

const lengthMax = 100;

/** The SKUs of one file, each with its line. */
export interface Skus {
  /** Takes a SKU for a line; gives the line that has it already, or undefined when it was free. */
  take(sku: string, line: number): number | undefined;
  /** Makes one from the product's handle and the variant's choices: the same for the same file, "-2" and on where that is taken. */
  make(handle: string, choices: readonly string[], line: number): string;
}

export function createSkus(): Skus {
  const lines = new Map<string, number>();
  const take = (sku: string, line: number): number | undefined => {
    const other = lines.get(sku);
    if (other === undefined) lines.set(copied(sku), line);
    return other;
  };
  return {
    take,
    make(handle, choices, line) {
      const base = shortened([handle, ...choices.map(slug)].filter((part) => part !== "").join("-"), lengthMax - 6);
      let sku = base;
      for (let nth = 2; take(sku, line) !== undefined; nth++) sku = `${base}-${nth}`;
      return sku;
    },
  };
}

/** "Café Crème, large" becomes "cafe-creme-large". Text without such letters, in another script, becomes a short hash of itself. */
export function slug(text: string): string {
  const kept = text
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replaceAll("ß", "ss")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
  return kept === "" && text.trim() !== "" ? hashed(text) : kept;
}

/** At most so many characters, and still different for different texts. */
export function shortened(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 9).replace(/-$/, "")}-${hashed(text)}`;
}

/** A copy. A slice of the file's text would keep all of that in memory for as long as it lives. */
export function copied(text: string): string {
  return Buffer.from(text).toString();
}

function hashed(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}
