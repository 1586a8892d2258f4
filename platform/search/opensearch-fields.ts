import { createHash } from "node:crypto";
import { ascending } from "./numbers.ts";
import type { SearchDocument } from "./search.ts";
import { stopWords } from "./stop-words.ts";
import { documentWords, plain } from "./terms.ts";

/** Rises when indexes of an older version must be rebuilt: when the mapping or what is stored changes. */
export const indexFormat = 2;

/** A keyword that is longer is found by its hash, and not counted as a facet: OpenSearch accepts none beyond 32 kB. */
const keywordLengthMax = 8_000;
const hashPrefix = "#sha256:";

/** The definition of an index. `made` is a text that no other index has; `filled` says whether it is complete. */
export function indexDefinition(options: {
  readonly made: string;
  readonly replicas: number;
  readonly refreshMs: number;
}): Readonly<Record<string, unknown>> {
  // Only whether a word occurs counts: relevance is by tiers, so neither frequencies nor lengths are stored.
  const text = { type: "text", norms: false, index_options: "docs" };
  const stemmed = { ...text, analyzer: "document", search_analyzer: "query" };
  return {
    settings: {
      number_of_shards: 1,
      number_of_replicas: options.replicas,
      refresh_interval: `${options.refreshMs}ms`,
      analysis: {
        filter: {
          stop_words: { type: "keyword_marker", keywords: stopWords },
          stems: { type: "snowball", language: "English" },
        },
        analyzer: {
          // Each word as it is and as its stem. Words are split, folded and lower-cased already.
          document: { type: "custom", tokenizer: "whitespace", filter: ["keyword_repeat", "stop_words", "stems", "remove_duplicates"] },
          query: { type: "custom", tokenizer: "whitespace", filter: ["stop_words", "stems"] },
        },
      },
    },
    mappings: {
      _meta: { made: options.made, format: indexFormat, filled: false },
      dynamic: "strict",
      dynamic_templates: [
        { keywords: { path_match: "keywords.*", mapping: { type: "keyword" } } },
        { numbers: { path_match: "numbers.*", mapping: { type: "long" } } },
      ],
      properties: {
        id: { type: "keyword" },
        titleWords: { type: "integer" },
        a: { ...stemmed, copy_to: ["ab", "abc", "words"] },
        b: { type: "text", index: false, copy_to: ["ab", "abc", "words"] },
        c: { type: "text", index: false, copy_to: ["abc", "words"] },
        ab: stemmed,
        abc: stemmed,
        words: { ...text, analyzer: "whitespace" },
        ends: { ...text, analyzer: "whitespace" },
        keywords: { type: "object", dynamic: true },
        numbers: { type: "object", dynamic: true },
      },
    },
  };
}

/** A document as it is stored. */
export function storedDocument(document: SearchDocument): string {
  const { a, b, c, ends } = documentWords(document);
  return JSON.stringify({
    id: document.id,
    titleWords: a.length,
    a: a.join(" "),
    b: b.join(" "),
    c: c.join(" "),
    ends: ends.join(" "),
    keywords: named(document.keywords, (values) => [...new Set(values.map(storedKeyword))]),
    numbers: named(ascending(document.numbers), (numbers) => numbers),
  });
}

export function storedKeyword(value: string): string {
  const text = plain(value);
  return text.length <= keywordLengthMax ? text : `${hashPrefix}${createHash("sha256").update(text).digest("base64url")}`;
}

/** Whether a stored keyword is not the value itself. */
export function isHashed(keyword: string): boolean {
  return keyword.startsWith(hashPrefix);
}

/** The field of a keyword or a number. All but letters, digits and "-" is escaped, because it may have a meaning: "price:EUR" is "price_3a_EUR". */
export function fieldOf(kind: "keywords" | "numbers", name: string): string {
  return `${kind}.${escaped(name)}`;
}

function named<T, U>(record: Readonly<Record<string, T>>, stored: (values: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([name, values]) => [escaped(name), stored(values)]));
}

function escaped(name: string): string {
  return name === "" ? "__" : name.replace(/[^A-Za-z0-9-]/g, (character) => `_${character.charCodeAt(0).toString(16)}_`);
}
