import type { Position } from "./position.ts";

/**
 * The progress of a subscription or relay: the position in the log, and the broker's offsets that belong to it, as text (empty where no broker is used).
 * The offsets may be before the position, never behind it: records that the position covers already are dropped.
 */
export interface Checkpoint extends Position {
  readonly offsets: string;
}

/** Offsets in one topic. */
export interface TopicOffsets {
  /** The topic's id, which changes when the topic is deleted and created again. */
  readonly topic: string;
  /** Of a subscription: the next offset in its partition. Of a relay: the end offset of each partition. */
  readonly offsets: readonly number[];
}

/** The text of a checkpoint's offsets: "topicId 12 7". */
export function offsetsText(topic: string, offsets: readonly number[]): string {
  return `${topic} ${offsets.join(" ")}`;
}

/** Undefined when the text has no offsets. */
export function parseOffsets(text: string): TopicOffsets | undefined {
  const [topic, ...offsets] = text.split(" ");
  return topic === undefined || offsets.length === 0 ? undefined : { topic, offsets: offsets.map(Number) };
}

/** Only the fields of a checkpoint: for rows that have more. */
export function checkpointOf({ epoch, xid, position, offsets }: Checkpoint): Checkpoint {
  return { epoch, xid, position, offsets };
}
