import { createHash } from "node:crypto";
import type { SearchDocument, SearchQuery } from "./search.ts";
import { mayEndWords, reversed, typedWordsOf, wordsOf } from "./words.ts";
import type { TypedWord } from "./words.ts";

// A document's terms are a tsvector without positions: words as `<index>:<tier>:<word>`, keywords as `<index>:k:<name>=<value>`.
// The words of texts a and b are there backwards too, as `<index>:e:<word>`, so that ends of words are found as beginnings are.
// Tier a holds the words of text a, tier b also those of b, tier c all. So one index serves text, weights and filters at once.

/** Rises when the same text has other words than before: then every index is rebuilt. */
export const wordsFormat = 2;

const tiers = ["a", "b", "c"] as const;
const keywordLengthMax = 200;
const queryWordsMax = 16;
const prefixLengthMin = 2;
/** So many different words of each text are found: more is no text for people, and its corrections would take seconds. */
const textWordsMax = 5_000;
/** PostgreSQL takes no document beyond 1 MB. What is beyond this is the end of the description, in text c. */
const termsBytesMax = 900_000;

type Keywords = SearchQuery["keywords"];

/** The words of a document's texts. */
export interface DocumentWords {
  readonly a: readonly string[];
  readonly b: readonly string[];
  readonly c: readonly string[];
  /** The words of the first two that a typed word may be the end of, backwards. */
  readonly ends: readonly string[];
}

export function documentWords({ text }: SearchDocument): DocumentWords {
  const [b, c] = [text.b, text.c].map((part) => [...new Set(wordsOf(part))].slice(0, textWordsMax)) as [string[], string[]];
  const a = wordsOf(text.a);
  return { a, b, c, ends: [...new Set([...a, ...b])].filter(mayEndWords).map(reversed) };
}

/** A document's terms, as PostgreSQL reads a tsvector. */
export function documentTerms(
  index: string,
  { keywords }: SearchDocument,
  words: DocumentWords,
  stems: ReadonlyMap<string, string>,
): string {
  const terms = new Set<string>();
  for (const [name, values] of Object.entries(keywords)) for (const value of values) terms.add(quoted(keywordTerm(index, name, value)));
  for (const end of words.ends) terms.add(quoted(endTerm(index, end)));
  for (const [depth, tier] of tiers.entries())
    for (const within of tiers.slice(0, depth + 1))
      for (const word of words[within]) {
        terms.add(quoted(wordTerm(index, tier, word)));
        const stem = stems.get(word);
        if (stem !== undefined && stem !== "") terms.add(quoted(wordTerm(index, tier, stem)));
      }
  return withinBytes(terms).join(" ");
}

/** The first terms, which are the keywords and the most relevant words, as far as one document holds them. */
function withinBytes(terms: ReadonlySet<string>): string[] {
  const all = [...terms];
  let left = termsBytesMax;
  const end = all.findIndex((term) => (left -= Buffer.byteLength(term)) < 0);
  return end < 0 ? all : all.slice(0, end);
}

/**
 * What matches a text: documents with all of `words`, of each any alternative; instead of the last, a word that begins with `prefix`; instead of any, a
 * word with the end that `ends` has in its place, backwards.
 */
export interface TextQuery {
  readonly words: readonly (readonly string[])[];
  readonly prefix?: string;
  readonly ends?: readonly (string | undefined)[];
}

/** The words of a typed text, at most 16. */
export function queryWords(text: string): TypedWord[] {
  return typedWordsOf(text).slice(0, queryWordsMax);
}

/** The query of these words. Stop words are left out, unless there are no others. */
export function textQuery(words: readonly TypedWord[], stems: ReadonlyMap<string, string>): TextQuery {
  const significant = words.filter(([word]) => stems.get(word!) !== "");
  const last = significant.at(-1)?.[0];
  if (last === undefined) return { words };
  const all = significant.map((alternatives) => alternatives.map((word) => stems.get(word) ?? word));
  const ends = significant.map(([word]) => (mayEndWords(word!) ? reversed(word!) : undefined));
  return {
    words: all,
    ...(last === words.at(-1)?.[0] && last.length >= prefixLengthMin && { prefix: last }),
    ...(ends.some((end) => end !== undefined) && { ends }),
  };
}

/** Whether it also matches parts of words. */
export function matchesParts({ prefix, ends }: TextQuery): boolean {
  return prefix !== undefined || ends !== undefined;
}

/** The matches of a query as tsqueries, from the most relevant tier to the least; no document matches two of them. */
export function tierQueries(index: string, want: TextQuery, keywords: Keywords): string[] {
  const { words } = want;
  const within = tiers.map((tier) => all(words.map((word) => any(word.map((one) => quoted(wordTerm(index, tier, one)))))));
  if (matchesParts(want)) within.push(inParts(index, want));
  return within.map((tier, at) => all([tier, ...(at === 0 ? [] : [`!${within[at - 1]!}`]), ...filters(index, keywords)]));
}

/** All matches of a query as one tsquery; undefined when everything in the index matches. */
export function matchQuery(index: string, want: TextQuery | undefined, keywords: Keywords): string | undefined {
  const parts = filters(index, keywords);
  if (want !== undefined) parts.unshift(inParts(index, want));
  return parts.length === 0 ? undefined : all(parts);
}

/** Matches of one word anywhere, as a tsquery. */
export function anyWord(index: string, alternatives: readonly string[], prefix?: string, end?: string): string {
  return any([
    ...alternatives.map((one) => quoted(wordTerm(index, "c", one))),
    ...(prefix === undefined ? [] : [`${quoted(wordTerm(index, "c", prefix))}:*`]),
    ...(end === undefined ? [] : [`${quoted(endTerm(index, end))}:*`]),
  ]);
}

/** Matches of all words anywhere, and of their beginnings and ends. */
function inParts(index: string, { words, prefix, ends }: TextQuery): string {
  return all(words.map((word, at) => anyWord(index, word, at === words.length - 1 ? prefix : undefined, ends?.[at])));
}

function filters(index: string, keywords: Keywords = {}): string[] {
  return Object.entries(keywords).map(([name, values]) => any(values.map((value) => quoted(keywordTerm(index, name, value)))));
}

function wordTerm(index: string, tier: (typeof tiers)[number], word: string): string {
  return `${index}:${tier}:${word}`;
}

function endTerm(index: string, end: string): string {
  return `${index}:e:${end}`;
}

function keywordTerm(index: string, name: string, value: string): string {
  const term = `${index}:k:${name}=${value}`;
  // PostgreSQL takes no term beyond 2 kB.
  return term.length <= keywordLengthMax ? term : `${index}:k:#${createHash("sha256").update(term).digest("base64url")}`;
}

function all(parts: readonly string[]): string {
  return parts.length === 1 ? parts[0]! : `(${parts.join(" & ")})`;
}

function any(parts: readonly string[]): string {
  return parts.length === 1 ? parts[0]! : `(${parts.join(" | ")})`;
}

function quoted(term: string): string {
  return `'${plain(term).replaceAll("\\", "\\\\").replaceAll("'", "''")}'`;
}

/** A text as PostgreSQL can hold it: without NUL and without halves of characters. */
export function plain(text: string): string {
  return text.toWellFormed().replaceAll("\0", "");
}
