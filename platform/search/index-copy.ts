import { performance } from "node:perf_hooks";
import type { Reads } from "../database/database.ts";
import { CopiedDocuments } from "./copied-documents.ts";
import type { CopiedDocument } from "./copied-documents.ts";
import { documentsSql, isRanked, latestRevisionSql, newsSql } from "./copy-sql.ts";
import type { News, Revision } from "./copy-sql.ts";
import type { IndexQuery } from "./search-sql.ts";

/** What matches a query, as of one moment. */
export interface Matches {
  readonly documents: CopiedDocuments;
  readonly slots: Uint32Array;
  /** The tier of relevance of each slot that matches the text, if it is sorted by. */
  readonly tiers: Uint8Array | undefined;
}

export interface IndexCopy {
  /**
   * What matches, to be used before anything is waited for, because the copy changes then. Undefined when the index is too large to be copied, or
   * changes faster than it is read: the database is to be asked.
   */
  matches(indexQuery: IndexQuery): Promise<Matches | undefined>;
  /** Whether the index was found to be too large. */
  readonly tooLarge: boolean;
}

interface Copy {
  readonly documents: CopiedDocuments;
  /** The last revision that it includes; undefined before there was any. */
  latest: Revision | undefined;
  /** What the latest texts have found in it, until it changes: shoppers turn pages and choose filters with the same words. */
  readonly texts: Map<string, Pick<Matches, "slots" | "tiers">>;
  /** With more values of keywords it is made again, so that those that no document has any longer are forgotten. */
  readonly valuesMax: number;
}

const readAtOnce = 1_000;
const attemptsMax = 4;
const textsMax = 50;
/** How long an index that was found to be too large is not looked at again. */
const tooLargeMs = 600_000;
/** How many values of keywords may be added to a copy; or as many as it began with, when these are more. */
const addedValuesMax = 10_000;

/**
 * A copy of an index's keywords and numbers in this process's memory, made when it is first needed. It is never out of date: each query reads what
 * has changed since the last one, in the statement that finds its text.
 */
export function createIndexCopy(database: Reads, index: string, documentsMax: number): IndexCopy {
  let held: Promise<Copy> | undefined;
  let tooLargeUntilMs = 0;

  const discard = (copy: Promise<Copy>): void => {
    if (held === copy) held = undefined;
  };
  const attempt = async (indexQuery: IndexQuery): Promise<Matches | undefined> => {
    const holding = (held ??= readCopy(database, index, documentsMax));
    const copy = await holding.catch((error: unknown) => {
      discard(holding);
      throw error;
    });
    if (copy.documents.size > documentsMax) {
      discard(holding);
      tooLargeUntilMs = performance.now() + tooLargeMs;
      return undefined;
    }
    const since = copy.latest;
    const { query, want } = indexQuery;
    const text = want && JSON.stringify([isRanked(query), want]);
    const known = text === undefined ? undefined : copy.texts.get(text);
    const news = await database.one<News>(
      newsSql(known === undefined ? indexQuery : { index, query, want: undefined }, since?.revision ?? 0),
    );
    const state = bringUpToDate(copy, since, news);
    if (state === "overtaken" || (known !== undefined && copy.latest !== since)) return undefined;
    const found = state === "lost" ? undefined : (known ?? matchText(copy.documents, indexQuery, news));
    if (found === undefined || copy.documents.values > copy.valuesMax) discard(holding);
    if (found === undefined) return undefined;
    if (text !== undefined) keep(copy.texts, text, found);
    return { ...found, documents: copy.documents, slots: copy.documents.filter(found.slots, query) };
  };

  const isTooLarge = (): boolean => performance.now() < tooLargeUntilMs;
  return {
    get tooLarge() {
      return isTooLarge();
    },
    async matches(indexQuery) {
      for (let attempts = 0; attempts < attemptsMax && !isTooLarge(); attempts++) {
        const matches = await attempt(indexQuery);
        if (matches !== undefined) return matches;
      }
      return undefined;
    },
  };
}

/** Page by page, so that other work goes on. What changes meanwhile has a later revision than that which was read first. */
async function readCopy(database: Reads, index: string, documentsMax: number): Promise<Copy> {
  const latest = await database.maybe<Revision>(latestRevisionSql(index));
  const documents = new CopiedDocuments();
  for (let after = ""; documents.size <= documentsMax;) {
    const rows = await database.rows<{ document: CopiedDocument }>(documentsSql(index, after, readAtOnce));
    for (const { document } of rows) documents.put(document);
    if (rows.length < readAtOnce) break;
    after = rows.at(-1)!.document.id;
  }
  return { documents, latest, texts: new Map(), valuesMax: documents.values + Math.max(documents.values, addedValuesMax) };
}

/** Whether the news has all changes since a revision: none is lost, forgotten, or too large to be named. */
function isContinued(since: Revision | undefined, { revisions }: News): boolean {
  const [first, ...later] = revisions ?? [];
  if (since !== undefined) return first?.revision === since.revision && first.tag === since.tag && later.every(({ ids }) => ids !== null);
  return first === undefined || (first.revision === first.ids?.length && later.every(({ ids }) => ids !== null));
}

/** "lost" when the changes cannot be known, "overtaken" when a query that began later has applied more than the news has. */
function bringUpToDate(copy: Copy, since: Revision | undefined, news: News): "current" | "overtaken" | "lost" {
  if (!isContinued(since, news)) return "lost";
  const latest = news.revisions?.at(-1);
  if (revisionOf(copy.latest) > revisionOf(latest)) return "overtaken";
  if (revisionOf(copy.latest) === revisionOf(latest)) return "current";
  for (const { ids } of news.revisions ?? []) for (const id of ids ?? []) copy.documents.delete(id);
  for (const document of news.documents ?? []) copy.documents.put(document);
  copy.latest = latest;
  copy.texts.clear();
  return "current";
}

function keep(texts: Copy["texts"], text: string, found: Pick<Matches, "slots" | "tiers">): void {
  const [first] = texts.keys();
  if (first !== undefined && texts.size >= textsMax && !texts.has(text)) texts.delete(first);
  texts.set(text, found);
}

function revisionOf(one: Revision | undefined): number {
  return one?.revision ?? 0;
}

/** Undefined when the text was found in a content that the copy lacks: somebody has written past the record of changes. */
function matchText(documents: CopiedDocuments, { want }: IndexQuery, news: News): Pick<Matches, "slots" | "tiers"> | undefined {
  if (want === undefined) return { slots: documents.all(), tiers: undefined };
  const found = news.found.split(";").map((decimals) => documents.written(decimals));
  if (found.some((slots) => slots.includes(-1))) return undefined;
  const tiers = new Uint8Array(documents.slotsEnd);
  const slots = new Uint32Array(found.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const [tier, some] of found.entries())
    for (const slot of some) {
      tiers[slot] = tier;
      slots[at++] = slot;
    }
  return { slots, tiers };
}
