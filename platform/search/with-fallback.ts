import { performance } from "node:perf_hooks";
import { refusalIn, refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Search, SearchDocuments, SearchIndex } from "./search.ts";

export interface FallbackSearch extends Search {
  /** Whether the second answers in place of the first, for some index. */
  readonly degraded: boolean;
}

export interface FallbackOptions {
  readonly first: Search;
  readonly second: Search;
  readonly log: Logger;
  /** The first pause before the first engine is asked again; it doubles, up to tenfold. 500 by default. */
  readonly probeAfterMs?: number;
}

/**
 * Search in the first engine, and in the second while the first cannot answer. Both must find the same in the same order: a shopper notices
 * nothing, and a cursor of one goes on in the other. The second is always kept up to date, and put into first; a put that the first cannot
 * take is refused with DEPENDENCY_UNAVAILABLE, to be repeated. After one failure the second is asked at once, and the first now and then
 * beside it.
 */
export function searchWithFallback({ first, second, log, probeAfterMs = 500 }: FallbackOptions): FallbackSearch {
  const away = new Set<object>();
  return {
    index: (name, lost) =>
      indexWithFallback({
        first: first.index(name, lost),
        second: second.index(name, lost),
        away,
        probeAfterMsFirst: probeAfterMs,
        log: log.child({ index: name }),
      }),
    get degraded() {
      return away.size > 0;
    },
  };
}

function indexWithFallback({
  first,
  second,
  away,
  probeAfterMsFirst,
  log,
}: {
  readonly first: SearchIndex;
  readonly second: SearchIndex;
  readonly away: Set<object>;
  readonly probeAfterMsFirst: number;
  readonly log: Logger;
}): SearchIndex {
  let probing: Promise<void> | undefined;
  let probeAfterMs = probeAfterMsFirst;
  let probeAtMs = 0;

  const lose = (error: unknown): void => {
    if (away.has(first)) return;
    away.add(first);
    probeAfterMs = probeAfterMsFirst;
    probeAtMs = performance.now() + probeAfterMs;
    log.warn({ error }, "the search engine cannot answer; the database answers in its place");
  };
  const regain = (): void => {
    if (away.delete(first)) log.info({}, "the search engine answers again");
  };
  const probe = async (): Promise<void> => {
    try {
      await first.query({ sort: [], limit: 1 });
      regain();
    } catch (error) {
      // Any other error is an answer, and whoever asks next is told.
      if (!isAway(error)) return regain();
      probeAfterMs = Math.min(probeAfterMs * 2, probeAfterMsFirst * 10);
      probeAtMs = performance.now() + probeAfterMs;
    } finally {
      probing = undefined;
    }
  };
  const probeWhenDue = (): Promise<void> | undefined => {
    if (probing === undefined && performance.now() >= probeAtMs) probing = probe();
    return probing;
  };
  /** Does it in the second, then in the first, unless that is known to be away: waiting for it would keep others from the second. */
  const both = async (write: (index: SearchDocuments) => Promise<void>): Promise<void> => {
    await write(second);
    if (away.has(first)) await probeWhenDue();
    if (away.has(first))
      throw refuse({
        reason: "DEPENDENCY_UNAVAILABLE",
        code: "unavailable",
        message: "The search engine is away",
        retryAfterMs: probeAfterMs,
      });
    await write(first);
  };

  return {
    put: (documents) => both((index) => index.put(documents)),
    delete: (ids) => both((index) => index.delete(ids)),
    async query(query) {
      if (!away.has(first)) {
        try {
          return await first.query(query);
        } catch (error) {
          if (!isAway(error)) throw error;
          lose(error);
        }
      } else void probeWhenDue();
      return second.query(query);
    },
    async rebuild(fill) {
      await first.rebuild((intoFirst) =>
        second.rebuild((intoSecond) =>
          fill({
            put: async (documents) => {
              await intoSecond.put(documents);
              await intoFirst.put(documents);
            },
            delete: async (ids) => {
              await intoSecond.delete(ids);
              await intoFirst.delete(ids);
            },
          }),
        ),
      );
      regain();
    },
  };
}

function isAway(error: unknown): boolean {
  return refusalIn(error)?.code === "unavailable";
}
