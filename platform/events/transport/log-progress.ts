import { parseOffsets } from "../checkpoint.ts";
import type { Checkpoint } from "../checkpoint.ts";
import { comparePositions } from "../position.ts";
import type { Position } from "../position.ts";

/** The end of a publisher's log, and how far it has been relayed to a broker: `relayed` is absent where subscribers read the log itself. */
export interface LogProgress {
  readonly head: Position;
  readonly relayed?: Checkpoint;
}

/** How many relayed records of its partition a subscriber has not read yet: all of them when its offset is of another topic. */
export function remainingRecords(checkpoint: Checkpoint, partition: number, relayed: Checkpoint): number {
  const end = parseOffsets(relayed.offsets);
  if (end === undefined) return 0;
  const own = parseOffsets(checkpoint.offsets);
  return Math.max(0, (end.offsets[partition] ?? 0) - (own?.topic === end.topic ? (own.offsets[0] ?? 0) : 0));
}

/**
 * The log position that a partition's subscriber has reached. It may be later than that of the last event it read: when no record is left in its
 * partition, everything relayed since then went to other partitions.
 */
export function reachedPosition(checkpoint: Checkpoint, partition: number | undefined, relayed: Checkpoint | undefined): Position {
  if (partition === undefined || relayed === undefined || comparePositions(checkpoint, relayed) >= 0) return checkpoint;
  return remainingRecords(checkpoint, partition, relayed) === 0 ? relayed : checkpoint;
}
