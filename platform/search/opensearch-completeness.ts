import { performance } from "node:perf_hooks";
import { refuse } from "../errors/refusal.ts";
import { indexFormat } from "./opensearch-fields.ts";
import { isMissing } from "./opensearch-server-indexes.ts";
import type { IndexMeta, ServerIndexes } from "./opensearch-server-indexes.ts";
import type { IndexLost } from "./search.ts";

/** How often an incomplete index is checked for having been filled. */
const recheckMs = 500;

/** Whether the index in use is complete, as it was found last. */
export interface Completeness {
  /** Creates the index when there is none. The name of the gap while the index is incomplete; undefined when it is complete. */
  gap(): Promise<string | undefined>;
  /** The index must be looked at again: another one is in use, or none. */
  forget(): void;
}

/** `lost` is called each time the index is found to be incomplete; without it, every index counts as complete. */
export function createCompleteness(indexes: ServerIndexes, alias: string, lost: IndexLost | undefined): Completeness {
  let found: Promise<{ readonly gap: string | undefined; readonly untilMs: number }> | undefined;

  async function check(): Promise<{ readonly gap: string | undefined; readonly untilMs: number }> {
    const meta = await openIndex(indexes, alias);
    if (lost === undefined || (meta.filled === true && (meta.format ?? 0) >= indexFormat)) return { gap: undefined, untilMs: Infinity };
    const gap = `${alias}/${meta.made ?? "unknown"}/${indexFormat}`;
    lost(gap);
    return { gap, untilMs: performance.now() + recheckMs };
  }

  return {
    async gap() {
      for (;;) {
        const checked = (found ??= check());
        try {
          const { gap, untilMs } = await checked;
          if (performance.now() < untilMs) return gap;
        } catch (error) {
          if (found === checked) found = undefined;
          throw error;
        }
        if (found === checked) found = undefined;
      }
    },
    forget() {
      found = undefined;
    },
  };
}

/** What is stored with the index in use, which is created when there is none. */
async function openIndex(indexes: ServerIndexes, alias: string): Promise<IndexMeta> {
  for (let tries = 0; ; tries++) {
    try {
      return await indexes.metaOf(alias);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    if (tries === 3) throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable", message: "The search index cannot be created" });
    // Two processes that do this at once create one index. One that exists without the alias is left of a rebuild that did not end.
    if (!(await indexes.create(`${alias}.0`, { [alias]: {} })) && tries > 0) await indexes.delete(`${alias}.0`);
  }
}
