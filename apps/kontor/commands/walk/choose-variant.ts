/** A product of the shop's list, as far as a customer chooses by it. */
export interface Product {
  readonly title: string;
  readonly variants: readonly Variant[];
}

export interface Variant {
  readonly sku: string;
  /** Units that can be ordered; absent where stock sets no limit, or is not known yet. */
  readonly available?: number;
  readonly price: { readonly currency: string; readonly amount: string };
}

/** A variant that can be ordered and costs something, of those whose units are known first; undefined when there is none. */
export function chooseVariant(products: readonly Product[]): { readonly title: string; readonly variant: Variant } | undefined {
  const sold = products
    .flatMap(({ title, variants }) => variants.map((variant) => ({ title, variant })))
    .filter(({ variant: { available = 1, price } }) => available > 0 && Number(price.amount) > 0);
  return sold.find(({ variant }) => variant.available !== undefined) ?? sold[0];
}
