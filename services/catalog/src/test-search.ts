import { openTestOpenSearch } from "@kontor/platform/search/open-test-opensearch.ts";
import { createPostgresSearch } from "@kontor/platform/search/postgres.ts";
import { searchWithFallback } from "@kontor/platform/search/with-fallback.ts";
import type { FallbackSearch } from "@kontor/platform/search/with-fallback.ts";
import { afterTests } from "@kontor/platform/testing/postgres.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { openCatalog } from "./test-catalog.ts";

/** The catalogue with its search in the real OpenSearch, as it is configured by default, and PostgreSQL behind it. */
export async function openSearchedCatalog() {
  const lines: string[] = [];
  const log: Logger = {
    debug: () => undefined,
    info: (_, line) => lines.push(line),
    warn: (_, line) => lines.push(line),
    error: (fields, line) => console.error(line, fields),
    child: () => log,
  };
  const openSearch = openTestOpenSearch({ refreshMs: 200, log, dropped: "by the caller" });
  const searches: FallbackSearch[] = [];
  const catalog = await openCatalog({
    engines: {
      search: (service, database) => {
        const search = searchWithFallback({
          first: openSearch.of(service),
          second: createPostgresSearch({ database }),
          log,
          probeAfterMs: 20,
        });
        if (service === "catalog") searches.push(search);
        return search;
      },
    },
  });
  // After the hooks that stop the catalogue.
  afterTests(openSearch.drop);
  const [search] = searches;
  if (search === undefined) throw new Error("the catalogue has no search");
  let finds = 0;
  const find = async (q: string): Promise<string[]> => {
    // Never the same list twice, which would not be searched for again.
    const { items } = await catalog.edge.listProducts({ q, facets: true, limit: 20 + (finds++ % 80) }, catalog.admin());
    return items.map(({ id }) => id);
  };
  const probed = async (): Promise<void> => {
    while (search.degraded) await find("any");
  };
  // A new index counts as lost until it was filled from the database.
  await find("any");
  await probed();
  await catalog.settle();
  lines.length = 0;
  return {
    ...catalog,
    openSearch,
    search,
    lines,
    /** The ids of what an administrator finds. */
    find,
    /** Resolves when OpenSearch is used again. */
    probed,
  };
}
