import type { Call } from "../call/call.ts";
import { createBatch } from "./batch.ts";

/** Finds things by their ids; all that are looked for at the same time are found by one statement. */
export interface Lookup<Value> {
  /** As it was at some moment after this call: undefined when it was not there. Rejects as `Batch.run` does. */
  find(id: string, call?: Call): Promise<Value | undefined>;
}

/** `findAll` gets each id once, and gives those that are there. */
export function createLookup<Value>(name: string, findAll: (ids: readonly string[]) => Promise<ReadonlyMap<string, Value>>): Lookup<Value> {
  const batch = createBatch<string, Value | undefined>({
    name,
    execute: async (items) => {
      const found = await findAll([...new Set(items.map(({ request }) => request))]);
      return items.map(({ request }) => found.get(request));
    },
  });
  return { find: (id, call) => batch.run(id, call) };
}
