import { _, Ajv } from "ajv";
import type { CodeKeywordDefinition, KeywordCxt } from "ajv";
import { MoneyError, decimalsOf, isCurrency, moneyFrom, rangeOf, requestedDigitsMax } from "@kontor/contracts/money.ts";
import { formats } from "./formats.ts";
import { isTimestamp } from "./timestamp.ts";

/** A text longer than this is not matched against a pattern that has no maximum of its own. */
const matchedLengthMax = 10_000;

/** What the keyword `matches` takes: a text beyond `max` breaks another rule, and is not searched. */
export interface Matches {
  readonly pattern: string;
  readonly max?: number;
}

type Params = Readonly<Record<string, unknown>>;

/** An Ajv with the keywords that decoded messages need: none of JSON Schema's knows bytes, bigints or oneofs. */
export function messageAjv(): Ajv {
  // Without strictNumbers the bounds refuse NaN; with it they would not look at it.
  const ajv = new Ajv({ allErrors: true, messages: false, strictTypes: false, strictNumbers: false, validateSchema: false, logger: false });
  for (const [name, format] of Object.entries(formats)) ajv.addFormat(name, format.test);
  // Not the zero of its kind, nor empty.
  code("filled", (cxt) => _`${cxt.data} === "" || ${cxt.data} === 0 || ${cxt.data}.length === 0`);
  // PostgreSQL stores neither NUL nor half a surrogate pair.
  code("clean", (cxt) => _`${cxt.data}.includes("\0") || !${cxt.data}.isWellFormed()`);
  code("caseIs", (cxt) => _`${cxt.data}.case !== ${cxt.schemaValue}`);
  code("minBytes", (cxt) => _`${cxt.data}.length < ${cxt.schemaValue}`);
  code("maxBytes", (cxt) => _`${cxt.data}.length > ${cxt.schemaValue}`);
  ajv.addKeyword({ keyword: "time", schemaType: "boolean", compile: () => isTimestamp });
  ajv.addKeyword({ keyword: "cleanDeep", schemaType: "boolean", compile: () => isCleanDeep });
  ajv.addKeyword({ keyword: "matches", schemaType: "object", compile: matcher, errors: true });
  ajv.addKeyword({ keyword: "money", schemaType: "boolean", compile: () => moneyKeyword, errors: true });
  ajv.addKeyword({ keyword: "aboveZero", schemaType: "boolean", compile: () => aboveZeroKeyword, errors: true });
  ajv.addKeyword({ keyword: "kept", schemaType: "object", compile: keptKeyword, errors: true });
  ajv.addKeyword({ keyword: "alternatives", schemaType: "array", compile: alternativesKeyword, errors: true });
  return ajv;

  function code(keyword: string, fails: (cxt: KeywordCxt) => ReturnType<typeof _>): void {
    const definition: CodeKeywordDefinition = {
      keyword,
      code: (cxt) => cxt.fail(fails(cxt)),
      error: { message: keyword, params: ({ schemaCode }) => _`{ limit: ${schemaCode} }` },
    };
    ajv.addKeyword(definition);
  }
}

/** A keyword's function; Ajv reads what it has to say from its property `errors`. */
interface Keyword<T> {
  (value: T): boolean;
  errors?: { keyword: string; params: Params }[];
}

function matcher({ pattern, max }: Matches): Keyword<string> {
  const expression = new RegExp(pattern, "u");
  const matches: Keyword<string> = (text) => {
    if (text.length > (max ?? matchedLengthMax) ? max !== undefined : expression.test(text)) return true;
    matches.errors = [{ keyword: "matches", params: { message: `must have the form ${pattern}` } }];
    return false;
  };
  return matches;
}

interface AmountText {
  readonly currency: string;
  readonly amount: string;
}

/** What the rules of the two fields cannot see: the currency's own decimals, the size, and that an amount is not negative. */
const moneyKeyword: Keyword<AmountText> = (message) => {
  const { currency, amount } = message;
  if (!isCurrency(currency) || formats["decimal"]?.test(amount) !== true) return true;
  try {
    moneyFrom(message);
    const [whole = ""] = amount.split(".");
    if (whole.length + decimalsOf(currency) <= requestedDigitsMax) return true;
    throw new MoneyError("TOO_LARGE", rangeOf(currency));
  } catch (error) {
    if (!(error instanceof MoneyError)) throw error;
    moneyKeyword.errors = [{ keyword: "money", params: { reason: error.reason, message: error.message } }];
    return false;
  }
};

const aboveZeroKeyword: Keyword<AmountText> = ({ amount }) => {
  if (!/^0+(\.0+)?$/.test(amount)) return true;
  aboveZeroKeyword.errors = [{ keyword: "money", params: { reason: "TOO_SMALL", message: "must be above zero" } }];
  return false;
};

type Fields = Readonly<Record<string, unknown>>;

/** Which of the fields (by their names in a mask and in the message) cannot be made empty by a change whose mask names them. */
function keptKeyword({
  mask,
  fields,
}: {
  readonly mask: string;
  readonly fields: readonly (readonly [string, string])[];
}): Keyword<Fields> {
  const kept: Keyword<Fields> = (message) => {
    const { paths = [] } = (message[mask] ?? {}) as { readonly paths?: readonly string[] };
    const emptied = fields.filter(([name, property]) => paths.includes(name) && isEmpty(message[property]));
    kept.errors = emptied.map(([, missingProperty]) => ({ keyword: "required", params: { missingProperty } }));
    return emptied.length === 0;
  };
  return kept;
}

/** Exactly one of the sets of properties is there, whole. */
function alternativesKeyword(sets: readonly (readonly string[])[]): Keyword<Fields> {
  const alternatives: Keyword<Fields> = (message) => {
    const begun = sets.filter((set) => set.some((name) => !isEmpty(message[name])));
    const [first = sets[0]!, ...others] = begun;
    const together = others.flat().filter((name) => !isEmpty(message[name]));
    const missing = first.filter((name) => isEmpty(message[name]));
    alternatives.errors = [
      ...together.map((property) => ({ keyword: "alternatives", params: { property, besides: first } })),
      ...missing.map((missingProperty) => ({ keyword: "required", params: { missingProperty } })),
    ];
    return alternatives.errors.length === 0;
  };
  return alternatives;
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === "" || value === 0 || (Array.isArray(value) && value.length === 0);
}

function isCleanDeep(value: unknown): boolean {
  if (typeof value === "string") return !value.includes("\0") && value.isWellFormed();
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return true;
  for (const [key, item] of Object.entries(value)) if (!isCleanDeep(key) || !isCleanDeep(item)) return false;
  return true;
}
