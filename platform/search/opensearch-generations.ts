import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import { refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { indexDefinition, indexFormat } from "./opensearch-fields.ts";
import { OpenSearchFault } from "./opensearch-http.ts";
import type { OpenSearchHttp } from "./opensearch-http.ts";
import type { IndexLost } from "./search.ts";

// `<alias>` stands for the generation that answers, `<alias>.next` for one that is being filled. Everybody writes to both names at once,
// and the second mostly does not exist. A generation is called `<alias>.<something>`; no alias of ours has a dot before that.

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
  /** Makes the index when there is none. Refuses with DEPENDENCY_UNAVAILABLE while it lacks something and somebody listens for that. */
  open(wanted: "to read" | "to write"): Promise<void>;
  /** Somebody has found that there is no index. */
  missing(): void;
  /** Makes the next generation, in place of any other that is being filled. */
  begin(): Promise<string>;
  /** Puts a full generation in the place of the one that answers, at one blow; false when there was another beginning since. */
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

/** Making and switching indexes takes the server longer than asking them. */
const changeMs = 15_000;
/** How often it is asked whether somebody has filled an index that lacked something. */
const lookAgainMs = 500;
const missingIndex = "index_not_found_exception";

export function isMissing(error: unknown): boolean {
  return error instanceof OpenSearchFault && error.type === missingIndex;
}

export function createGenerations({ http, alias, log, replicas, refreshMs, lost }: GenerationOptions): Generations {
  const next = `${alias}.next`;
  let state: Promise<{ readonly gap: string | undefined; readonly untilMs: number }> | undefined;

  const make = (name: string, aliases: object): Promise<unknown> =>
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
        // Two who do this at once make one index.
        await make(`${alias}.0`, { [alias]: {} });
      } catch (error) {
        if (!(error instanceof OpenSearchFault) || error.type !== "resource_already_exists_exception") throw error;
        // Still there after a rebuild that did not end, and in nobody's place.
        if (tries > 0) await abandon(`${alias}.0`);
      }
      meta = await read();
    }
    if (meta === undefined)
      throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable", message: "The search index cannot be made" });
    if (lost === undefined || (meta.filled === true && (meta.format ?? 0) >= indexFormat)) return { gap: undefined, untilMs: Infinity };
    const gap = `${alias}/${meta.made ?? "unknown"}/${indexFormat}`;
    lost(gap);
    return { gap, untilMs: performance.now() + lookAgainMs };
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
    async open(wanted) {
      const gap = await current();
      if (gap !== undefined && wanted === "to read")
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
      await make(generation, {});
      await change([{ remove: { index: `${alias}.*`, alias: next, must_exist: false } }, { add: { index: generation, alias: next } }]);
      const left = Object.entries(await aliases()).filter(([, held]) => !(alias in held.aliases) && !(next in held.aliases));
      for (const [name] of left) await abandon(name);
      if (left.length > 0) log.info({ indexes: left.map(([name]) => name) }, "indexes that were never filled are deleted");
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
          // Another rebuild began, or came to its end, just now.
          if (!(error instanceof OpenSearchFault) || error.status !== 404) throw error;
          continue;
        }
        state = undefined;
        // Not in the same change: its shards would be gone a moment before the alias is another's, and queries would fail.
        for (const index of before) await abandon(index);
        return true;
      }
    },

    abandon,
  };
}
