import { decimalsOf, MoneyError, moneyFrom, moneyTo } from "@kontor/contracts/money.ts";
import { pointed } from "./amounts.ts";
import type { NumberForm, Read } from "./amounts.ts";

type Amount = { readonly currency: string; readonly amount: string };

/** The catalogue holds no price beyond it. */
const minorMax = BigInt(Number.MAX_SAFE_INTEGER) - 1n;

/** A price such as "50", "9.99" or "12.5000" in the currency: surplus zeros at the end are dropped, other surplus decimals are wrong. */
export function readPrice(written: string, currency: string, form: NumberForm): Read<Amount> {
  if (written === "") return { problem: "is missing" };
  const read = pointed(written, form);
  if ("problem" in read) return read;
  const text = read.value;
  try {
    const surplus = text.includes(".") ? Math.max(0, text.length - text.indexOf(".") - 1 - decimalsOf(currency)) : 0;
    const digits = /^0+$/.test(text.slice(text.length - surplus)) ? text.slice(0, text.length - surplus).replace(/\.$/, "") : text;
    const money = moneyFrom({ currency, amount: digits });
    return money.minor > minorMax ? { problem: `must not be as large as ${text.slice(0, 40)}` } : { value: moneyTo(money) };
  } catch (error) {
    if (error instanceof MoneyError) return { problem: `${error.message}, not "${text.slice(0, 40)}"` };
    throw error;
  }
}

/** Units in stock. A negative number, which an oversold shop has, counts as 0. */
export function readQuantity(written: string, form: NumberForm): Read<number> {
  const read = pointed(written, form);
  if ("problem" in read) return read;
  const text = read.value;
  const quantity = /^-?\d{1,10}(\.0+)?$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(quantity) || quantity > 1_000_000_000) return { problem: `must be a whole number, not "${text.slice(0, 40)}"` };
  return { value: Math.max(0, quantity) };
}

const gramsOf: Readonly<Record<string, number>> = { g: 1, kg: 1_000, oz: 28.349523125, lb: 453.59237 };

/** A weight in grams, rounded; a unit left out is grams. */
export function readWeight(written: string, unit: string, form: NumberForm): Read<number> {
  const read = pointed(written, form);
  if ("problem" in read) return read;
  const text = read.value;
  const factor = gramsOf[unit === "" ? "g" : unit.toLowerCase()];
  if (factor === undefined) return { problem: `"${unit.slice(0, 20)}" is no unit of weight: g, kg, oz or lb` };
  const grams = /^\d{1,10}(\.\d{1,10})?$/.test(text) ? Math.round(Number(text) * factor) : Number.NaN;
  if (Number.isNaN(grams) || grams > 100_000_000) return { problem: `must be a weight, not "${text.slice(0, 40)}"` };
  return { value: grams };
}

/** An address of an image on the web. */
export function readImage(text: string): Read<string> {
  const url = text.startsWith("//") ? `https:${text}` : text;
  if (!/^https?:\/\//i.test(url) || !URL.canParse(url) || url.length > 2_000) return { problem: "must be an http or https address" };
  // Spaces and other characters that a browser would accept are percent-encoded.
  return { value: new URL(url).href };
}

/** true or false; undefined for other text. */
export function readBoolean(text: string): boolean | undefined {
  if (/^(true|yes|1)$/i.test(text)) return true;
  return /^(false|no|0)$/i.test(text) ? false : undefined;
}
