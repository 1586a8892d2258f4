/** What several measurements of the same thing show. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** The middle value, or the mean of the two in the middle. Throws when there is none. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new Error("there is nothing to take the median of");
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** The one divided by the other. Throws when the other is not above 0: a ratio to nothing says nothing. */
export function ratio(value: number, reference: number): number {
  if (!(reference > 0)) throw new Error(`${reference} cannot be a reference: it must be above 0`);
  return value / reference;
}

/** The ratio of each turn's pair of measurements, and what all turns show. Both lists are in the order of the turns. */
export function pairedRatios(values: readonly number[], references: readonly number[]): Spread {
  if (values.length !== references.length) throw new Error(`${values.length} and ${references.length} measurements are not pairs`);
  return spreadOf(values.map((value, at) => ratio(value, references[at]!)));
}

/** "1,16,64": whole numbers from 1 on. Throws, naming the option, for anything else. */
export function wholeNumbers(text: string, option: string): number[] {
  return text.split(",").map((piece) => {
    if (!/^[1-9]\d{0,5}$/.test(piece.trim())) throw new Error(`${option}: "${piece}" is not a whole number from 1 on`);
    return Number(piece);
  });
}

/** "0.5": a number above 0. Throws, naming the option, for anything else. */
export function positiveNumber(text: string, option: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value > 0 && value < Infinity)) throw new Error(`${option}: "${text}" is not a number above 0`);
  return value;
}
