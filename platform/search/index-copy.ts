import { performance } from "node:perf_hooks";
import type { Database } from "../database/database.ts";
import { CopiedDocuments } from "./copied-documents.ts";
import type { CopiedDocument } from "./copied-documents.ts";
import { documentsSql, latestRevisionSql, newsSql } from "./copy-sql.ts";
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
}

/** `latest` is the last revision that it includes; undefined before there was any. */
interface Copy {
  readonly documents: CopiedDocuments;
  latest: Revision | undefined;
}

const readAtOnce = 1_000;
const attemptsMax = 3;
/** How long an index that was found to be too large is not looked at again. */
const tooLargeMs = 600_000;
/** How many values of keywords may be remembered that no document has any longer. */
const formerValuesMax = 10_000;

/**
 * A copy of an index's keywords and numbers in this process's memory, made when it is first needed. It is never out of date: each query reads what
 * has changed since the last one, in the statement that finds its text.
 */
export function createIndexCopy(database: Database, index: string, documentsMax: number): IndexCopy {
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
    const news = await database.one<News>(newsSql(indexQuery, since?.revision ?? 0));
    const continued = isContinued(since, news);
    // A query that began later was answered first: what this one has found may be gone from the copy.
    if (continued && revisionOf(copy.latest) > revisionOf(news.revisions?.at(-1))) return undefined;
    if (continued) apply(copy, news);
    const matches = continued ? match(copy.documents, indexQuery, news) : undefined;
    if (matches === undefined || copy.documents.values > copy.documents.size + formerValuesMax) discard(holding);
    return matches;
  };

  return {
    async matches(indexQuery) {
      for (let attempts = 0; attempts < attemptsMax && performance.now() >= tooLargeUntilMs; attempts++) {
        const matches = await attempt(indexQuery);
        if (matches !== undefined) return matches;
      }
      return undefined;
    },
  };
}

/** Page by page, so that other work goes on. What changes meanwhile has a later revision than that which was read first. */
async function readCopy(database: Database, index: string, documentsMax: number): Promise<Copy> {
  const latest = await database.maybe<Revision>(latestRevisionSql(index));
  const documents = new CopiedDocuments();
  for (let after = ""; documents.size <= documentsMax;) {
    const rows = await database.rows<{ document: CopiedDocument }>(documentsSql(index, after, readAtOnce));
    for (const { document } of rows) documents.put(document);
    if (rows.length < readAtOnce) break;
    after = rows.at(-1)!.document.id;
  }
  return { documents, latest };
}

/** Whether the news has all changes since a revision: none is lost, forgotten, or too large to be named. */
function isContinued(since: Revision | undefined, { revisions }: News): boolean {
  const [first, ...later] = revisions ?? [];
  if (since !== undefined) return first?.revision === since.revision && first.tag === since.tag && later.every(({ ids }) => ids !== null);
  return first === undefined || (first.revision === first.ids?.length && later.every(({ ids }) => ids !== null));
}

function apply(copy: Copy, { revisions, documents }: News): void {
  const latest = revisions?.at(-1);
  if (revisionOf(latest) === revisionOf(copy.latest)) return;
  for (const { ids } of revisions ?? []) for (const id of ids ?? []) copy.documents.delete(id);
  for (const document of documents ?? []) copy.documents.put(document);
  copy.latest = latest;
}

function revisionOf(one: Revision | undefined): number {
  return one?.revision ?? 0;
}

/** Undefined when the text was found in a content that the copy lacks: somebody has written past the record of changes. */
function match(documents: CopiedDocuments, { query, want }: IndexQuery, news: News): Matches | undefined {
  if (want === undefined) return { documents, slots: documents.filter(documents.all(), query), tiers: undefined };
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
  return { documents, slots: documents.filter(slots, query), tiers };
}
