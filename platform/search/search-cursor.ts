import { createHash } from "node:crypto";
import { refuse } from "../errors/refusal.ts";
import type { SearchQuery } from "./search.ts";
import { alternativesMax, isWord } from "./words.ts";

/** Where a page ended. It is the same in every engine, so that one can continue where another stopped. */
export interface Position {
  /**
   * The sort keys of its last document, as decimal text, all ascending. Relevance is two: the tier (0 when the title has all words, then
   * with tags, then with the description, then as beginnings of words), and how many words the title has. A descending number is negated; an absent
   * one is 2^53.
   */
  readonly keys: readonly string[];
  readonly id: string;
  /** The corrected words, so that the next page searches for the same. */
  readonly corrected?: readonly (readonly string[])[];
}

/** How many sort keys there are before the id. */
export function keyCountOf({ sort }: SearchQuery): number {
  return sort.reduce((count, { by }) => count + (by === "relevance" ? 2 : 1), 0);
}

/** The cursor of a position in the result of this query. */
export function encodeCursor(index: string, query: SearchQuery, position: Position): string {
  const { keys, id, corrected } = position;
  const facts = corrected === undefined ? [keys, id] : [keys, id, corrected];
  return Buffer.from(JSON.stringify([seal(index, query, facts), ...facts])).toString("base64url");
}

const idLengthMax = 255;
/** As many words as a query may have. */
const wordsMax = 200;

/** The position that a cursor names. Refuses with INVALID_CURSOR when it is not of this query, was changed, or cannot be a position at all. */
export function decodeCursor(index: string, query: SearchQuery, cursor: string, keyCount: number): Position {
  const [sealed, ...facts] = parsed(cursor);
  const [keys, id, corrected] = facts;
  if (sealed !== seal(index, query, facts) || !isId(id) || !isTexts(keys) || keys.length !== keyCount) throw invalid();
  if (!keys.every((key) => /^-?\d{1,16}$/.test(key))) throw invalid();
  if (corrected === undefined) return { keys, id };
  if (!Array.isArray(corrected) || corrected.length === 0 || corrected.length > wordsMax || !corrected.every(areAlternatives))
    throw invalid();
  return { keys, id, corrected };
}

function parsed(cursor: string): unknown[] {
  try {
    const facts: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
    if (Array.isArray(facts)) return facts;
  } catch (error) {
    throw invalid(error);
  }
  throw invalid();
}

/** Binds a position to its query. Not a signature, so all that follows is checked: a forged cursor gives another page of what its maker may read anyway. */
function seal(index: string, { text, keywords, ranges, sort }: SearchQuery, facts: readonly unknown[]): string {
  const sorted = (record: object = {}): unknown[] => Object.entries(record).toSorted(([one], [other]) => (one < other ? -1 : 1));
  const query = [index, text ?? "", sorted(keywords), sorted(ranges), sort];
  return createHash("sha256")
    .update(JSON.stringify([query, facts]))
    .digest("base64url")
    .slice(0, 16);
}

/** PostgreSQL takes no NUL in a text. */
function isId(value: unknown): value is string {
  return typeof value === "string" && value.length <= idLengthMax && value.isWellFormed() && !value.includes("\0");
}

/** Words as a correction has them: what else there is would be read as an operator of the search. */
function areAlternatives(value: unknown): value is readonly string[] {
  return isTexts(value) && value.length > 0 && value.length <= alternativesMax && value.every(isWord);
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}

function invalid(cause?: unknown): Error {
  return refuse({ reason: "INVALID_CURSOR", code: "invalid_argument", cause });
}
