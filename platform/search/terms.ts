import { createHash } from "node:crypto";
import type { SearchDocument, SearchQuery } from "./search.ts";
import { wordsOf } from "./words.ts";

// A document's terms are a tsvector without positions: words as `<index>:<tier>:<word>`, keywords as `<index>:k:<name>=<value>`.
// Tier a holds the words of text a, tier b also those of b, tier c all. So one index serves text, weights and filters at once.

const tiers = ["a", "b", "c"] as const;
const keywordLengthMax = 200;
const queryWordsMax = 16;
const prefixLengthMin = 2;

type Keywords = SearchQuery["keywords"];

/** The words of a document's texts. */
export function documentWords({ text }: SearchDocument): { readonly a: string[]; readonly b: string[]; readonly c: string[] } {
  return { a: wordsOf(text.a), b: wordsOf(text.b), c: wordsOf(text.c) };
}

/** A document's terms, as PostgreSQL reads a tsvector. */
export function documentTerms(
  index: string,
  { keywords }: SearchDocument,
  words: ReturnType<typeof documentWords>,
  stems: ReadonlyMap<string, string>,
): string {
  const terms = new Set<string>();
  for (const [depth, tier] of tiers.entries())
    for (const within of tiers.slice(0, depth + 1))
      for (const word of words[within]) {
        terms.add(quoted(wordTerm(index, tier, word)));
        const stem = stems.get(word);
        if (stem !== undefined && stem !== "") terms.add(quoted(wordTerm(index, tier, stem)));
      }
  for (const [name, values] of Object.entries(keywords)) for (const value of values) terms.add(quoted(keywordTerm(index, name, value)));
  return [...terms].join(" ");
}

/** What matches a text: documents with all of `words`, of each any alternative; instead of the last, a word that begins with `prefix`. */
export interface TextQuery {
  readonly words: readonly (readonly string[])[];
  readonly prefix?: string;
}

/** The words of a typed text, at most 16. */
export function queryWords(text: string): string[] {
  return [...new Set(wordsOf(text))].slice(0, queryWordsMax);
}

/** The query of these words. Stop words are left out, unless there are no others. */
export function textQuery(words: readonly string[], stems: ReadonlyMap<string, string>): TextQuery {
  const significant = words.filter((word) => stems.get(word) !== "");
  const last = significant.at(-1);
  if (last === undefined) return { words: words.map((word) => [word]) };
  const all = significant.map((word) => [stems.get(word) ?? word]);
  return last === words.at(-1) && last.length >= prefixLengthMin ? { words: all, prefix: last } : { words: all };
}

/** The matches of a query as tsqueries, from the most relevant tier to the least; no document matches two of them. */
export function tierQueries(index: string, { words, prefix }: TextQuery, keywords: Keywords): string[] {
  const within = tiers.map((tier) => all(words.map((word) => any(word.map((one) => quoted(wordTerm(index, tier, one)))))));
  if (prefix !== undefined) within.push(prefixed(index, words, prefix));
  return within.map((tier, at) => all([tier, ...(at === 0 ? [] : [`!${within[at - 1]!}`]), ...filters(index, keywords)]));
}

/** All matches of a query as one tsquery; undefined when everything in the index matches. */
export function matchQuery(index: string, want: TextQuery | undefined, keywords: Keywords): string | undefined {
  const parts = filters(index, keywords);
  if (want !== undefined) {
    const { words, prefix } = want;
    parts.unshift(prefix === undefined ? all(words.map((word) => anyWord(index, word))) : prefixed(index, words, prefix));
  }
  return parts.length === 0 ? undefined : all(parts);
}

/** Matches of one word anywhere, as a tsquery. */
export function anyWord(index: string, alternatives: readonly string[], prefix?: string): string {
  return any([
    ...alternatives.map((one) => quoted(wordTerm(index, "c", one))),
    ...(prefix === undefined ? [] : [`${quoted(wordTerm(index, "c", prefix))}:*`]),
  ]);
}

function prefixed(index: string, words: TextQuery["words"], prefix: string): string {
  return all(words.map((word, at) => anyWord(index, word, at === words.length - 1 ? prefix : undefined)));
}

function filters(index: string, keywords: Keywords = {}): string[] {
  return Object.entries(keywords).map(([name, values]) => any(values.map((value) => quoted(keywordTerm(index, name, value)))));
}

function wordTerm(index: string, tier: (typeof tiers)[number], word: string): string {
  return `${index}:${tier}:${word}`;
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
