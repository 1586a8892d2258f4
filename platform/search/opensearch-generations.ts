import { randomUUID } from "node:crypto";
import { refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { createCompleteness } from "./opensearch-completeness.ts";
import { OpenSearchFault } from "./opensearch-http.ts";
import type { OpenSearchHttp } from "./opensearch-http.ts";
import { createServerIndexes, isMissing } from "./opensearch-server-indexes.ts";
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
  /** Creates the index when there is none. For reading, refuses with DEPENDENCY_UNAVAILABLE while it is incomplete and there is `lost`. */
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

export function createGenerations({ http, alias, log, lost, ...settings }: GenerationOptions): Generations {
  const next = `${alias}.next`;
  const indexes = createServerIndexes(http, settings);
  const completeness = createCompleteness(indexes, alias, lost);

  return {
    async open(purpose) {
      const gap = await completeness.gap();
      if (gap !== undefined && purpose === "to read")
        throw refuse({
          reason: "DEPENDENCY_UNAVAILABLE",
          code: "unavailable",
          message: "The search index is being filled",
          retryAfterMs: 1_000,
        });
    },

    missing: () => completeness.forget(),

    async begin() {
      const generation = `${alias}.${Date.now().toString(36)}-${randomUUID().slice(0, 8)}`;
      await indexes.create(generation);
      await indexes.changeAliases([
        { remove: { index: `${alias}.*`, alias: next, must_exist: false } },
        { add: { index: generation, alias: next } },
      ]);
      const all = Object.entries(await indexes.aliasesOf(`${alias}.*`));
      const unfinished = all.filter(([, { aliases }]) => !(alias in aliases) && !(next in aliases)).map(([name]) => name);
      for (const name of unfinished) await indexes.delete(name);
      if (unfinished.length > 0) log.info({ indexes: unfinished }, "unfinished search indexes were deleted");
      return generation;
    },

    async finish(generation) {
      try {
        await indexes.setFilled(generation);
      } catch (error) {
        if (isMissing(error)) return false;
        throw error;
      }
      for (;;) {
        const all = await indexes.aliasesOf(`${alias}.*`);
        if (all[generation] === undefined || !(next in all[generation].aliases)) return false;
        const before = Object.keys(all).filter((name) => alias in all[name]!.aliases);
        try {
          await indexes.changeAliases([
            ...before.map((index) => ({ remove: { index, alias } })),
            { remove: { index: generation, alias: next } },
            { add: { index: generation, alias } },
          ]);
        } catch (error) {
          // Another rebuild has just begun or ended.
          if (!(error instanceof OpenSearchFault) || error.status !== 404) throw error;
          continue;
        }
        completeness.forget();
        // Not in the same change: its shards would be deleted a moment before the alias is moved, and queries would fail.
        for (const index of before) await indexes.delete(index);
        return true;
      }
    },

    abandon: (generation) => indexes.delete(generation),
  };
}
