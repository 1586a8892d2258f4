/** The outcome of paying with a card. */
export type Outcome =
  /** Charged at once; `webhooks` is how often the webhook is sent. */
  | { readonly kind: "approve"; readonly webhooks: number }
  | { readonly kind: "decline"; readonly code: string }
  /** No response for long, and then it was declined. */
  | { readonly kind: "timeout" }
  /** The page gives up, and the money is taken nevertheless, later. */
  | { readonly kind: "late-approval" };

export interface TestCard {
  /** What it is called in the page's address. */
  readonly name: string;
  readonly number: string;
  /** What it does, for a person. */
  readonly label: string;
  readonly outcome: Outcome;
}

/** The cards that are known. Any other number that could be a card's is declined as `unknown_card`. */
export const testCards: readonly TestCard[] = [
  { name: "approve", number: "4242424242424242", label: "Approved", outcome: { kind: "approve", webhooks: 1 } },
  { name: "decline", number: "4000000000000002", label: "Declined", outcome: { kind: "decline", code: "card_declined" } },
  {
    name: "no-funds",
    number: "4000000000009995",
    label: "Declined: insufficient funds",
    outcome: { kind: "decline", code: "insufficient_funds" },
  },
  { name: "timeout", number: "4000000000000101", label: "The bank does not respond; declined later", outcome: { kind: "timeout" } },
  {
    name: "late-approval",
    number: "4000000000000119",
    label: "The bank does not respond; approved later",
    outcome: { kind: "late-approval" },
  },
  {
    name: "three-webhooks",
    number: "4000000000000259",
    label: "Approved; the webhook is sent three times",
    outcome: { kind: "approve", webhooks: 3 },
  },
  { name: "no-webhook", number: "4000000000000341", label: "Approved; no webhook is sent", outcome: { kind: "approve", webhooks: 0 } },
];

const outcomes = new Map(testCards.map(({ number, outcome }) => [number, outcome]));
const unknownCard: Outcome = { kind: "decline", code: "unknown_card" };

/** What was typed: its outcome and the four digits that may be stored; or what is wrong with it, for the person who typed it. */
export type CardEntry =
  | { readonly outcome: Outcome; readonly last4: string }
  | { readonly field: "number" | "expiry" | "cvc"; readonly message: string };

/** Reads the form's fields. Only the number is needed. */
export function readCard(form: { readonly number: string; readonly expiry: string; readonly cvc: string }, now: Date): CardEntry {
  const number = form.number.replaceAll(/[ -]/g, "");
  if (!/^[0-9]{12,19}$/.test(number) || !isLuhnValid(number))
    return { field: "number", message: "This is not a card number. Please check it." };
  const expiry = form.expiry.replaceAll(" ", "");
  if (expiry !== "") {
    const [, month, year] = /^(0?[1-9]|1[0-2])\/(?:20)?([0-9]{2})$/.exec(expiry) ?? [];
    if (month === undefined) return { field: "expiry", message: "Please enter the expiry date as month and year, such as 12/30." };
    // A card is good until its month has ended everywhere.
    if (Date.UTC(2000 + Number(year), Number(month), 2) <= now.getTime()) return { field: "expiry", message: "This card has expired." };
  }
  const cvc = form.cvc.trim();
  if (cvc !== "" && !/^[0-9]{3,4}$/.test(cvc)) return { field: "cvc", message: "The security code has three or four digits." };
  return { outcome: outcomes.get(number) ?? unknownCard, last4: number.slice(-4) };
}

/** Whether the last digit fits the others, as it does in every card number. */
export function isLuhnValid(digits: string): boolean {
  let sum = 0;
  for (let at = digits.length - 1, twice = false; at >= 0; at--, twice = !twice) {
    const digit = digits.charCodeAt(at) - 48;
    sum += twice ? digit * 2 - (digit > 4 ? 9 : 0) : digit;
  }
  return sum % 10 === 0;
}
