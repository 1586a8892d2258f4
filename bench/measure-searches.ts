import type { Figures } from "./figures.ts";
import type { GetsDone } from "./load.ts";
import type { MeasuredShop } from "./open-measured-shop.ts";
import { postmasterOf } from "./environment.ts";
import { cpuSeconds, memoryMb } from "./processes.ts";
import { makeProducts } from "./products.ts";

export interface SearchesOptions {
  readonly connections: number;
  readonly seconds: number;
  readonly figures: Figures;
  /** Called after the measurement, with the number of searches. */
  readonly each?: (searches: number) => Promise<void>;
}

const searches = 24_000;

/**
 * Searches with facets, each different from those around it, so that none is cached: a category, one or two filters, words, and words with a filter.
 * Prints how many there are a second, and on Linux the CPU time of one and what the shop holds in memory then.
 */
export async function measureSearches(measured: MeasuredShop, options: SearchesOptions): Promise<void> {
  const { shop, load, api, folder, database } = measured;
  const { connections, seconds, figures, each } = options;
  const run = { run: "gets", api, connections, paths: await paths(api) } as const;
  await load.tell({ ...run, seconds: 2 });
  await database.query("select pg_stat_statements_reset()");
  const before = cpu(shop.pid, folder);
  const { perSecond, requests } = await load.tell<GetsDone>({ ...run, seconds });
  const after = cpu(shop.pid, folder);
  figures.add("facet_searches_per_s", perSecond, "searches/s");
  if (before === undefined || after === undefined)
    console.log("CPU time and memory are left out: only Linux shows those of other processes");
  else {
    const cost = (name: "shop" | "postgresql") => ((after[name] - before[name]) * 1000) / requests;
    figures.add("facet_search_cpu_shop_ms", cost("shop"), "ms");
    figures.add("facet_search_cpu_postgresql_ms", cost("postgresql"), "ms");
    figures.add("facet_search_cpu_ms", cost("shop") + cost("postgresql"), "ms");
    figures.add("memory_after_searches_mb", memoryMb([shop.pid, postmasterOf(folder)]), "MB");
  }
  await each?.(requests);
}

/** Seconds so far. PostgreSQL is a child of the shop. */
function cpu(shop: number, folder: string): { readonly shop: number; readonly postgresql: number } | undefined {
  if (process.platform !== "linux") return undefined;
  const postgresql = cpuSeconds([postmasterOf(folder)]);
  return { shop: cpuSeconds([shop]) - postgresql, postgresql };
}

interface Searched {
  readonly thing: string;
  readonly category: string;
  readonly tag: string;
  readonly nth: number;
}

async function paths(api: string): Promise<string[]> {
  const { items } = (await (await fetch(`${api}/v1/categories?limit=100`)).json()) as { items: { id: string; name: string }[] };
  const categories = new Map(items.map(({ name, id }) => [name, id]));
  // Of a product that there is, so that something is found.
  const kinds: readonly ((product: Searched) => Record<string, string>)[] = [
    ({ category }) => ({ category, sort: "price" }),
    ({ category, tag }) => ({ category, tag }),
    ({ tag }) => ({ tag, sort: "-price" }),
    ({ thing, tag }) => ({ q: `${tag} ${thing}` }),
    ({ thing, tag }) => ({ q: thing, tag }),
    ({ tag, nth }) => ({ q: tag, priceMin: String(10 + (nth % 7)), sort: "price" }),
  ];
  const made = makeProducts(searches / kinds.length).map(({ categoryNames: [thing], product }, nth): Searched => {
    return { thing: thing!, category: categories.get(thing!)!, tag: product.tags[nth % 2]!, nth };
  });
  return Array.from({ length: searches }, (_, at) => {
    const product = made[Math.floor(at / kinds.length)]!;
    const limit = String(10 + (Math.floor(product.nth / 84) % 20));
    const query = { ...kinds[at % kinds.length]!(product), currency: "EUR", facets: "true", limit };
    return `/v1/products?${new URLSearchParams(query).toString()}`;
  });
}
