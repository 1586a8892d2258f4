import type { Consumer } from "@platformatic/kafka";
import { arrivedRecord } from "./event-record.ts";
import type { Arrived } from "./event-record.ts";

/** What is kept of each part for readers that are a little behind: more costs memory, less costs fetches. */
const keptRecords = 2_000;
const keptBytes = 2 * 1_048_576;
const isControl = 1 << 5;

/** Records of one part, in their order. */
export interface Chunk {
  /** The topic's id. */
  readonly id: string;
  readonly records: readonly Arrived[];
  /** The offset behind them. */
  readonly next: number;
  /** Whether more may be there already. */
  readonly more: boolean;
}

export type FetchResponse = Awaited<ReturnType<Consumer["fetch"]>>;
export type Heard = (arrived: readonly Arrived[]) => void;

/** The end of one part, as it has been fetched. */
export interface Window {
  readonly topic: string;
  readonly part: number;
  readonly listeners: Set<Heard>;
  /** Undefined until the cluster was asked. */
  id: string | undefined;
  from: number;
  to: number;
  bytes: number;
  records: Arrived[];
}

type Batches = NonNullable<FetchResponse["responses"][number]["partitions"][number]["records"]>;

/** The records of fetched batches from an offset on, and the offset behind them. */
export function recordsFrom(batches: Batches, from: number): { readonly arrived: Arrived[]; readonly next: number } {
  const arrived: Arrived[] = [];
  let next = from;
  for (const batch of batches) {
    const first = Number(batch.firstOffset);
    if ((batch.attributes & isControl) === 0)
      for (const record of batch.records) {
        const offset = first + record.offsetDelta;
        // A batch is sent whole, also for one record in it.
        if (offset >= next) arrived.push(arrivedRecord(record, offset, record.length));
      }
    next = Math.max(next, first + batch.lastOffsetDelta + 1);
  }
  return { arrived, next };
}

/** Adds what was fetched to the window and tells those who listen; drops the oldest when it grows too large. */
export function take(window: Window, { arrived, next }: ReturnType<typeof recordsFrom>): void {
  window.to = next;
  for (const record of arrived) {
    window.records.push(record);
    window.bytes += record.size;
  }
  let drop = 0;
  // In larger steps, because each one moves all that are kept.
  if (window.records.length > 2 * keptRecords || window.bytes > 2 * keptBytes)
    while (window.records.length - drop > keptRecords || (window.bytes > keptBytes && drop < window.records.length))
      window.bytes -= window.records[drop++]!.size;
  if (drop > 0) {
    window.from = window.records[drop - 1]!.offset + 1;
    window.records = window.records.slice(drop);
  }
  if (arrived.length > 0) tell(window, arrived);
}

/** Calls all who listen to a part. */
export function tell(window: Window, arrived: readonly Arrived[]): void {
  for (const heard of window.listeners) heard(arrived);
}

/** What a window has from an offset on that lies in it. */
export function fromWindow({ records, to }: Window, id: string, offset: number): Chunk {
  let [low, high] = [0, records.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (records[middle]!.offset < offset) low = middle + 1;
    else high = middle;
  }
  return { id, records: low === 0 ? records.slice() : records.slice(low), next: to, more: false };
}
