import type { Checkpoint } from "../checkpoint.ts";
import { comparePositions } from "../position.ts";
import type { Position } from "../position.ts";
import { reachedPosition, remainingRecords } from "../transport/log-progress.ts";
import type { LogProgress } from "../transport/log-progress.ts";

/** The checkpoint of a subscription, or of one of its partitions. */
export interface PartitionProgress {
  readonly partition: number | undefined;
  readonly checkpoint: Checkpoint;
}

/** Whether everything that had been relayed, or without a relay written, at the time of `log` is applied or parked. */
export function hasCaughtUp({ partition, checkpoint }: PartitionProgress, { head, relayed }: LogProgress): boolean {
  return comparePositions(reachedPosition(checkpoint, partition, relayed), relayed ?? head) >= 0;
}

/** About how many events of the log, of any type, the partitions have not read yet: 0 exactly when there is none. */
export function lagOf(partitions: readonly PartitionProgress[], log: LogProgress): number {
  const { head, relayed } = log;
  if (relayed === undefined) return partitions.reduce((sum, { checkpoint }) => sum + between(checkpoint, head), 0);
  return partitions.reduce(
    (sum, { partition, checkpoint }) =>
      partition === undefined || hasCaughtUp({ partition, checkpoint }, log) ? sum : sum + remainingRecords(checkpoint, partition, relayed),
    between(relayed, head),
  );
}

function between(from: Position, to: Position): number {
  return comparePositions(to, from) > 0 ? Math.max(1, Number(BigInt(to.position) - BigInt(from.position))) : 0;
}
