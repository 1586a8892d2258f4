import { minorUnits } from "./currencies.ts";
import type { Money as MoneyMessage } from "./gen/kontor/api/v1/common_pb.js";

/** An amount in a currency's smallest unit: `{ currency: "EUR", minor: 1999n }` is 19.99 euros. Never a float. */
export interface Money {
  readonly currency: string;
  readonly minor: bigint;
}

export type MoneyProblem = "CURRENCY" | "FORMAT" | "TOO_SMALL" | "TOO_LARGE" | "MISMATCH" | "NOT_WHOLE";

/** An amount that is none, or amounts that do not belong together. The message is a sentence for a person. */
export class MoneyError extends Error {
  readonly reason: MoneyProblem;

  constructor(reason: MoneyProblem, message: string) {
    super(message);
    this.name = "MoneyError";
    this.reason = reason;
  }
}

export interface MoneyOptions {
  /** Whether the amount may be below zero: false unless said otherwise. */
  readonly negative?: boolean;
}

/** What SQL's `bigint` holds: the largest amount there can be. */
const minorMax = 2n ** 63n - 1n;
/** How many digits an amount in a request has at most, decimals included: what JavaScript's numbers, and so search engines and cursors, hold exactly. */
export const requestedDigitsMax = 15;
const amountForm = /^(-?)([0-9]{1,20})(?:\.([0-9]{1,20}))?$/;

/** Whether the text is the code of a currency that `currencies.ts` lists, in upper case. */
export function isCurrency(code: string): boolean {
  return minorUnits.has(code);
}

/** How many decimals amounts of the currency have: 2 for EUR, 0 for JPY, 3 for KWD. Throws for what is no currency. */
export function decimalsOf(currency: string): number {
  const decimals = minorUnits.get(currency);
  if (decimals === undefined) throw new MoneyError("CURRENCY", `${JSON.stringify(currency)} is not a currency of ISO 4217`);
  return decimals;
}

/** Reads money from a message. Throws for an unknown currency, too many decimals, and an amount below zero unless allowed. */
export function moneyFrom(message: Pick<MoneyMessage, "currency" | "amount">, options?: MoneyOptions): Money {
  const { currency } = message;
  const decimals = decimalsOf(currency);
  const match = amountForm.exec(message.amount);
  if (match === null) throw new MoneyError("FORMAT", "must be decimal text such as 19.99");
  const [, sign = "", whole = "", fraction = ""] = match;
  if (fraction.length > decimals)
    throw new MoneyError(
      "FORMAT",
      decimals === 0 ? `must have no decimals in ${currency}` : `must have at most ${decimals} decimals in ${currency}`,
    );
  const size = BigInt(whole + fraction.padEnd(decimals, "0"));
  const negative = options?.negative === true;
  if (size > minorMax) throw new MoneyError("TOO_LARGE", rangeOf(currency, { negative }));
  if (sign === "-" && !negative) throw new MoneyError("TOO_SMALL", rangeOf(currency, { negative }));
  return { currency, minor: sign === "-" ? -size : size };
}

/**
 * The bound of a range of amounts in minor units: what lies between two of them is rounded to the one inside, and what no amount can be is cut to
 * the largest. Any decimal text will do. Throws for an unknown currency and for what is no decimal text.
 */
export function wholeMinor({ currency, amount }: Pick<MoneyMessage, "currency" | "amount">, towards: "up" | "down"): bigint {
  const decimals = decimalsOf(currency);
  const [, sign = "", whole = "", fraction = ""] = amountForm.exec(amount) ?? [];
  if (whole === "") throw new MoneyError("FORMAT", "must be decimal text such as 19.99");
  const size = BigInt(whole + fraction.slice(0, decimals).padEnd(decimals, "0"));
  const between = /[1-9]/.test(fraction.slice(decimals));
  const exact = sign === "-" ? -size : size;
  const minor = !between ? exact : towards === "up" ? exact + (sign === "-" ? 0n : 1n) : exact - (sign === "-" ? 1n : 0n);
  return minor > minorMax ? minorMax : minor < -minorMax ? -minorMax : minor;
}

/** What an amount in a request must be, for a person: "must be from 0.00 to 9999999999999.99 EUR"; with `negative` as far below zero. */
export function rangeOf(currency: string, { negative = false }: MoneyOptions = {}): string {
  const max = 10n ** BigInt(requestedDigitsMax) - 1n;
  const least = moneyTo({ currency, minor: negative ? -max : 0n });
  return `must be from ${least.amount} to ${moneyTo({ currency, minor: max }).amount} ${currency}`;
}

/** The message's form: the amount with exactly the currency's own number of decimals. */
export function moneyTo(money: Money): { readonly currency: string; readonly amount: string } {
  const { currency, minor } = money;
  const decimals = decimalsOf(currency);
  const sign = minor < 0n ? "-" : "";
  const digits = (minor < 0n ? -minor : minor).toString().padStart(decimals + 1, "0");
  if (decimals === 0) return { currency, amount: sign + digits };
  return { currency, amount: `${sign}${digits.slice(0, -decimals)}.${digits.slice(-decimals)}` };
}

/** The sum. Throws when the currencies differ. */
export function add(a: Money, b: Money): Money {
  return { currency: common(a, b), minor: a.minor + b.minor };
}

/** The difference. Throws when the currencies differ. */
export function subtract(a: Money, b: Money): Money {
  return { currency: common(a, b), minor: a.minor - b.minor };
}

/** So many times the amount. Throws for a quantity that is not whole. */
export function times(money: Money, quantity: number | bigint): Money {
  if (typeof quantity === "number" && !Number.isSafeInteger(quantity))
    throw new MoneyError("NOT_WHOLE", "a quantity must be a whole number");
  return { currency: money.currency, minor: money.minor * BigInt(quantity) };
}

/** Below zero, zero or above zero as `a` is less than, equal to or more than `b`. Throws when the currencies differ. */
export function compare(a: Money, b: Money): number {
  common(a, b);
  return a.minor < b.minor ? -1 : a.minor > b.minor ? 1 : 0;
}

/**
 * Splits an amount by weights so that the parts add up to it exactly: each part is its exact share rounded down, and the
 * units that remain go one by one to the largest remainders, the earlier part first. Throws for weights that are not whole,
 * below zero, or all zero.
 */
export function allocate(total: Money, weights: readonly (number | bigint)[]): Money[] {
  if (weights.some((weight) => typeof weight === "number" && !Number.isSafeInteger(weight)))
    throw new MoneyError("NOT_WHOLE", "a weight must be a whole number");
  const exact = weights.map((weight) => BigInt(weight));
  const sum = exact.reduce((left, right) => left + right, 0n);
  if (sum <= 0n || exact.some((weight) => weight < 0n))
    throw new MoneyError("TOO_SMALL", "weights must not be below zero, and one must be above it");
  const sign = total.minor < 0n ? -1n : 1n;
  const size = total.minor * sign;
  const parts = exact.map((weight, index) => ({ index, minor: (size * weight) / sum, remainder: (size * weight) % sum }));
  let left = size - parts.reduce((taken, part) => taken + part.minor, 0n);
  const order = parts.toSorted((a, b) => (a.remainder === b.remainder ? a.index - b.index : a.remainder > b.remainder ? -1 : 1));
  for (const part of order) {
    if (left === 0n) break;
    part.minor += 1n;
    left -= 1n;
  }
  return parts.map((part) => ({ currency: total.currency, minor: part.minor * sign }));
}

function common(a: Money, b: Money): string {
  if (a.currency !== b.currency) throw new MoneyError("MISMATCH", `${a.currency} and ${b.currency} do not belong together`);
  return a.currency;
}
