import type { Checkpoint } from "../checkpoint.ts";
import type { EventRow } from "../log/event-row.ts";
import type { Position } from "../position.ts";

/** An event as it comes from its publisher, its data not yet decoded. */
export interface SourceEvent extends EventRow {
  readonly position: Position;
}

export interface SourceBatch {
  readonly events: readonly SourceEvent[];
  /** Where to read on. */
  readonly next: Checkpoint;
  /** What is after `next`: more, at once; nothing; or committed events that may not be read yet, because an older transaction is still open. */
  readonly behind: "more" | "nothing" | "hidden";
}

/** Where a subscription's events come from: only its types, in the log's order, of one partition where the log is partitioned. */
export interface EventSource {
  /** Empty, with nothing behind it, while the source is unavailable: listeners are called when it is available again. */
  read(after: Checkpoint, limit: number): Promise<SourceBatch>;
}
