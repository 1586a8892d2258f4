import { comparePlaces } from "../position.ts";
import type { Place, Stand } from "../position.ts";

/** How far a log goes, and how far it has come on its way over a broker. `relayed` is absent where its readers read the log itself. */
export interface Reach {
  readonly head: Place;
  readonly relayed?: Stand;
}

/** The words of a mark: which topic (its id, which is another when it was deleted and made again), and offsets in it. */
export interface Mark {
  readonly topic: string;
  /** Of a reader: the next one of its part. Of a relay: where each part ends. */
  readonly offsets: readonly number[];
}

export function markText(topic: string, offsets: readonly number[]): string {
  return `${topic} ${offsets.join(" ")}`;
}

/** Undefined when it is empty or no mark. */
export function readMark(text: string): Mark | undefined {
  const [topic, ...offsets] = text.split(" ");
  return topic === undefined || offsets.length === 0 ? undefined : { topic, offsets: offsets.map(Number) };
}

/** How many records of its part a reader still has to look at of what has been relayed: 0 when it has passed them all. */
export function recordsLeft(stand: Stand, part: number, relayed: Stand): number {
  const end = readMark(relayed.mark);
  if (end === undefined) return 0;
  const at = readMark(stand.mark);
  return Math.max(0, (end.offsets[part] ?? 0) - (at?.topic === end.topic ? (at.offsets[0] ?? 0) : 0));
}

/**
 * The place that the reader of a part has truly reached: the last event of its part may be old, and all that has been relayed since went
 * into the others.
 */
export function reachedPlace(stand: Stand, part: number | undefined, relayed: Stand | undefined): Place {
  if (part === undefined || relayed === undefined || comparePlaces(stand, relayed) >= 0) return stand;
  return recordsLeft(stand, part, relayed) === 0 ? relayed : stand;
}
