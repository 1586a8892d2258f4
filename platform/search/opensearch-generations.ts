import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import { refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { indexDefinition, indexFormat } from "./opensearch-fields.ts";
import { OpenSearchFault } from "./opensearch-http.ts";
import type { OpenSearchHttp } from "./opensearch-http.ts";
import type { IndexLost } from "./search.ts";

// `<alias>` names the generation in use, `<alias>.next` one that is being filled. Each write goes to both names, of which the second mostly does
// not exist. A generation is called `<alias>.<something>`; no alias has a dot before that.

export interface GenerationOptions {
  readonly http: OpenSearchHttp;
  readonly alias: string;
  readonly log: Logger;
  readonly replicas: number;
  readonly refreshMs: number;
  readonly lost: IndexLost | undefined;
}

/** The generations of an index. */
export interface Generations {
  /** Creates the index when there is none. For reading, refuses with DEPENDENCY_UNAVAILABLE while it is incomplete and `lost` was given. */
  open(purpose: "to read" | "to write"): Promise<void>;
  /** Call it when the index was found to be missing. */
  missing(): void;
  /** Creates the next generation, instead of any other that is being filled. */
  begin(): Promise<string>;
  /** Replaces the generation in use by a full one, atomically; false when another rebuild has begun since. */
  finish(generation: string): Promise<boolean>;
  /** Deletes a generation that will not be finished. */
  abandon(generation: string): Promise<void>;
}

type Aliases = Readonly<Record<string, { readonly aliases: Readonly<Record<string, unknown>> }>>;
type Mappings = Readonly<Record<string, { readonly mappings?: { readonly _meta?: Meta } }>>;
interface Meta {
  readonly made?: string;
  readonly format?: number;
  readonly filled?: boolean;
}

/** Creating and switching indexes takes the server longer than querying them. */
const changeMs = 15_000;
/** How often an incomplete index is checked for having been filled. */
const recheckMs = 500;
const missingIndex = "index_not_found_exception";

export function isMissing(error: unknown): boolean {
  return error instanceof OpenSearchFault && error.type === missingIndex;
}

export function createGenerations({ http, alias, log, replicas, refreshMs, lost }: GenerationOptions): Generations {
  const next = `${alias}.next`;
  let state: Promise<{ readonly gap: string | undefined; readonly untilMs: number }> | undefined;

  const createIndex = (name: string, aliases: object): Promise<unknown> =>
    http.request({
      method: "PUT",
      path: `/${name}`,
      body: { ...indexDefinition({ made: randomUUID(), replicas, refreshMs }), aliases },
      timeoutMs: changeMs,
    });
  const change = (actions: readonly object[]): Promise<unknown> =>
    http.request({ method: "POST", path: "/_aliases", body: { actions }, timeoutMs: changeMs });
  const aliases = async (): Promise<Aliases> => http.request<Aliases>({ method: "GET", path: `/${alias}.*/_alias` });

  const abandon = async (generation: string): Promise<void> => {
    await http.request({ method: "DELETE", path: `/${generation}`, query: { ignore_unavailable: "true" }, timeoutMs: changeMs });
  };

  const metaOf = async (index: string): Promise<Meta> => {
    const query = { filter_path: "*.mappings._meta,error.type,error.reason" };
    const mappings = await http.request<Mappings>({ method: "GET", path: `/${index}/_mapping`, query });
    return Object.values(mappings)[0]?.mappings?._meta ?? {};
  };
  const read = async (): Promise<Meta | undefined> => {
    try {
      return await metaOf(alias);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  };
  const look = async (): Promise<{ readonly gap: string | undefined; readonly untilMs: number }> => {
    let meta = await read();
    for (let tries = 0; meta === undefined && tries < 3; tries++) {
      try {
        // Two processes that do this at once create one index.
        await createIndex(`${alias}.0`, { [alias]: {} });
      } catch (error) {
        if (!(error instanceof OpenSearchFault) || error.type !== "resource_already_exists_exception") throw error;
        // Left by a rebuild that did not end, and without an alias.
        if (tries > 0) await abandon(`${alias}.0`);
      }
      meta = await read();
    }
    if (meta === undefined)
      throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable", message: "The search index cannot be created" });
    if (lost === undefined || (meta.filled === true && (meta.format ?? 0) >= indexFormat)) return { gap: undefined, untilMs: Infinity };
    const gap = `${alias}/${meta.made ?? "unknown"}/${indexFormat}`;
    lost(gap);
    return { gap, untilMs: performance.now() + recheckMs };
  };
  const current = async (): Promise<string | undefined> => {
    const looked = (state ??= look());
    try {
      const { gap, untilMs } = await looked;
      if (performance.now() < untilMs) return gap;
    } catch (error) {
      if (state === looked) state = undefined;
      throw error;
    }
    if (state === looked) state = undefined;
    return current();
  };

  return {
    async open(purpose) {
      const gap = await current();
      if (gap !== undefined && purpose === "to read")
        throw refuse({
          reason: "DEPENDENCY_UNAVAILABLE",
          code: "unavailable",
          message: "The search index is being filled",
          retryAfterMs: 1_000,
        });
    },

    missing() {
      state = undefined;
    },

    async begin() {
      const generation = `${alias}.${Date.now().toString(36)}-${randomUUID().slice(0, 8)}`;
      await createIndex(generation, {});
      await change([{ remove: { index: `${alias}.*`, alias: next, must_exist: false } }, { add: { index: generation, alias: next } }]);
      const left = Object.entries(await aliases()).filter(([, held]) => !(alias in held.aliases) && !(next in held.aliases));
      for (const [name] of left) await abandon(name);
      if (left.length > 0) log.info({ indexes: left.map(([name]) => name) }, "unfinished search indexes were deleted");
      return generation;
    },

    async finish(generation) {
      try {
        await http.request({ method: "POST", path: `/${generation}/_refresh`, timeoutMs: changeMs });
        await http.request({
          method: "PUT",
          path: `/${generation}/_mapping`,
          body: { _meta: { ...(await metaOf(generation)), filled: true } },
          timeoutMs: changeMs,
        });
      } catch (error) {
        if (isMissing(error)) return false;
        throw error;
      }
      for (;;) {
        const held = await aliases();
        if (held[generation] === undefined || !(next in held[generation].aliases)) return false;
        const before = Object.keys(held).filter((name) => alias in held[name]!.aliases);
        try {
          await change([
            ...before.map((index) => ({ remove: { index, alias } })),
            { remove: { index: generation, alias: next } },
            { add: { index: generation, alias } },
          ]);
        } catch (error) {
          // Another rebuild has just begun or ended.
          if (!(error instanceof OpenSearchFault) || error.status !== 404) throw error;
          continue;
        }
        state = undefined;
        // Not in the same change: its shards would be deleted a moment before the alias is moved, and queries would fail.
        for (const index of before) await abandon(index);
        return true;
      }
    },

    abandon,
  };
}
