import { performance } from "node:perf_hooks";
import { refusalIn, refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Search, SearchDocuments, SearchIndex } from "./search.ts";

export interface FallbackSearch extends Search {
  /** Whether the second engine is used instead of the first, for some index. */
  readonly degraded: boolean;
}

export interface FallbackOptions {
  readonly first: Search;
  readonly second: Search;
  readonly log: Logger;
  /** The first pause before the first engine is tried again; it doubles, up to tenfold. 500 by default. */
  readonly probeAfterMs?: number;
}

/**
 * Search in the first engine, and in the second while the first is unavailable. Both must find the same in the same order: a shopper notices
 * nothing, and a cursor of one continues in the other. The second is always up to date, because it is written first; a put that the first cannot
 * take is refused with DEPENDENCY_UNAVAILABLE, to be repeated. After one failure queries use the second at once, and the first is probed beside
 * them now and then.
 */
export function searchWithFallback({ first, second, log, probeAfterMs = 500 }: FallbackOptions): FallbackSearch {
  const unavailable = new Set<object>();
  return {
    index: (name, lost) =>
      indexWithFallback({
        first: first.index(name, lost),
        second: second.index(name, lost),
        unavailable,
        probeAfterMsFirst: probeAfterMs,
        log: log.child({ index: name }),
      }),
    get degraded() {
      return unavailable.size > 0;
    },
  };
}

function indexWithFallback({
  first,
  second,
  unavailable,
  probeAfterMsFirst,
  log,
}: {
  readonly first: SearchIndex;
  readonly second: SearchIndex;
  readonly unavailable: Set<object>;
  readonly probeAfterMsFirst: number;
  readonly log: Logger;
}): SearchIndex {
  let probing: Promise<void> | undefined;
  let probeAfterMs = probeAfterMsFirst;
  let probeAtMs = 0;

  const setUnavailable = (error: unknown): void => {
    if (unavailable.has(first)) return;
    unavailable.add(first);
    probeAfterMs = probeAfterMsFirst;
    probeAtMs = performance.now() + probeAfterMs;
    log.warn({ error }, "the search engine is unavailable: queries use the database");
  };
  const setAvailable = (): void => {
    if (unavailable.delete(first)) log.info({}, "the search engine is available again");
  };
  const probe = async (): Promise<void> => {
    try {
      await first.query({ sort: [], limit: 1 });
      setAvailable();
    } catch (error) {
      // Any other error is a response, which the next query gets too.
      if (!isUnavailable(error)) return setAvailable();
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
  /** Writes to the second, then to the first, unless that is known to be unavailable: waiting for it would delay writes to the second. */
  const both = async (write: (index: SearchDocuments) => Promise<void>): Promise<void> => {
    await write(second);
    if (unavailable.has(first)) await probeWhenDue();
    if (unavailable.has(first))
      throw refuse({
        reason: "DEPENDENCY_UNAVAILABLE",
        code: "unavailable",
        message: "The search engine is unavailable",
        retryAfterMs: probeAfterMs,
      });
    await write(first);
  };

  return {
    put: (documents) => both((index) => index.put(documents)),
    delete: (ids) => both((index) => index.delete(ids)),
    async query(query) {
      if (!unavailable.has(first)) {
        try {
          return await first.query(query);
        } catch (error) {
          if (!isUnavailable(error)) throw error;
          setUnavailable(error);
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
      setAvailable();
    },
  };
}

function isUnavailable(error: unknown): boolean {
  return refusalIn(error)?.code === "unavailable";
}
