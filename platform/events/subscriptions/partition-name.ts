/** The name of the row of one partition of a subscription: "orders.claims#3". */
export function partitionName(subscription: string, partition: number): string {
  return `${subscription}#${partition}`;
}

/** The subscription that a row belongs to. */
export function baseName(name: string): string {
  const at = name.indexOf("#");
  return at < 0 ? name : name.slice(0, at);
}

/** The partition that a row belongs to; undefined for the subscription's own row. */
export function partitionOf(name: string): number | undefined {
  const at = name.indexOf("#");
  return at < 0 ? undefined : Number(name.slice(at + 1));
}
