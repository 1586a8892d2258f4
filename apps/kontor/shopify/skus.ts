import { slugOf, withDigest } from "@kontor/contracts/slug.ts";

export const skuLengthMax = 100;

/** The SKUs of one file, each with its line. */
export interface Skus {
  /** Takes a SKU for a line; gives the line that has it already, or undefined when it was free. */
  take(sku: string, line: number): number | undefined;
}

export function createSkus(): Skus {
  const lines = new Map<string, number>();
  return {
    take(sku, line) {
      const other = lines.get(sku);
      if (other === undefined) lines.set(copied(sku), line);
      return other;
    },
  };
}

/**
 * SKUs for variants that have none, from the product's handle and the variants' choices, whatever their order. The second one of each is for where
 * the first is taken. Choices whose SKUs would be the same ("Red", "RED!") get the one with a digest, all of them.
 */
export function madeSkus(handle: string, variants: readonly (readonly string[])[]): (readonly [string, string])[] {
  const made = variants.map((choices) => {
    const plain = [handle, ...choices.map((choice) => slugOf(choice))].join("-");
    const distinct = withDigest(plain, JSON.stringify([handle, ...choices]), skuLengthMax);
    return { plain: plain.length <= skuLengthMax - 6 ? plain : distinct, distinct };
  });
  const counts = new Map<string, number>();
  for (const { plain } of made) counts.set(plain, (counts.get(plain) ?? 0) + 1);
  return made.map(({ plain, distinct }) => [counts.get(plain) === 1 ? plain : distinct, distinct]);
}

/** A copy. A slice of the file's text would keep all of that in memory for as long as it lives. */
export function copied(text: string): string {
  return Buffer.from(text).toString();
}
