import type { Call } from "../call/call.ts";
import type { Database, Queries } from "../database/database.ts";
import type { Tasks } from "../tasks/tasks.ts";

/** How a service's state is compared with its events, and how what is derived from events is rebuilt: for `kontor rebuild`. */
export interface ServiceRebuild {
  /** What `compare` compares: "products". */
  readonly compares: string;
  /** Compares the next things behind a key, at most `limit`, each as of one moment; undefined behind the last one. */
  readonly compare: (queries: Queries, after: string, limit: number) => Promise<Comparison | undefined>;
  /**
   * Rebuilds what the service derives from events, by tasks with the call's correlation and by its subscriptions, which go on after this has
   * resolved. Resolves to what is filled, in words for an operator. Absent when the service derives nothing.
   */
  readonly refill?: (service: { readonly database: Database; readonly tasks: Tasks }, call: Call) => Promise<string>;
}

export interface Comparison {
  /** The key of the last one compared. */
  readonly last: string;
  readonly compared: number;
  /** What differs, a sentence for each thing. */
  readonly differences: readonly string[];
}
