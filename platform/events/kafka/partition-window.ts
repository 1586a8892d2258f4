import type { Consumer } from "@platformatic/kafka";
import { receivedRecord } from "./event-record.ts";
import type { ReceivedRecord } from "./event-record.ts";

/** What is stored of each partition for subscriptions that are a little behind: more costs memory, less costs fetches. */
const recordsMax = 2_000;
const bytesMax = 2 * 1_048_576;
const isControl = 1 << 5;

/** Records of one partition, in order. */
export interface Chunk {
  /** The topic's id. */
  readonly id: string;
  readonly records: readonly ReceivedRecord[];
  /** The offset after them. */
  readonly next: number;
  /** Whether the partition may have more records already. */
  readonly more: boolean;
}

export type FetchResponse = Awaited<ReturnType<Consumer["fetch"]>>;
/** Called with new records, and with none when some may have been missed. */
export type RecordListener = (received: readonly ReceivedRecord[]) => void;

/** The newest records of one partition, as they have been fetched: those at the offsets from `from` to before `to`. */
export interface PartitionWindow {
  readonly topic: string;
  readonly partition: number;
  readonly listeners: Set<RecordListener>;
  /** The topic's id: undefined until the partition's end has been read from the cluster. */
  id: string | undefined;
  from: number;
  to: number;
  bytes: number;
  records: ReceivedRecord[];
}

type Batches = NonNullable<FetchResponse["responses"][number]["partitions"][number]["records"]>;

/** The records of fetched batches from an offset on, and the offset after them. */
export function recordsFrom(batches: Batches, from: number): { readonly received: ReceivedRecord[]; readonly next: number } {
  const received: ReceivedRecord[] = [];
  let next = from;
  for (const batch of batches) {
    const first = Number(batch.firstOffset);
    if ((batch.attributes & isControl) === 0)
      for (const record of batch.records) {
        const offset = first + record.offsetDelta;
        // A broker sends whole batches, even for one record in it.
        if (offset >= next) received.push(receivedRecord(record, offset, record.length));
      }
    next = Math.max(next, first + batch.lastOffsetDelta + 1);
  }
  return { received, next };
}

/** Adds fetched records to the window and calls its listeners; drops the oldest records when there are too many. */
export function addRecords(window: PartitionWindow, { received, next }: ReturnType<typeof recordsFrom>): void {
  window.to = next;
  for (const record of received) {
    window.records.push(record);
    window.bytes += record.size;
  }
  let drop = 0;
  // In large steps, because each one copies all records that stay.
  if (window.records.length > 2 * recordsMax || window.bytes > 2 * bytesMax)
    while (window.records.length - drop > recordsMax || (window.bytes > bytesMax && drop < window.records.length))
      window.bytes -= window.records[drop++]!.size;
  if (drop > 0) {
    window.from = window.records[drop - 1]!.offset + 1;
    window.records = window.records.slice(drop);
  }
  if (received.length > 0) notifyListeners(window, received);
}

export function notifyListeners(window: PartitionWindow, received: readonly ReceivedRecord[]): void {
  for (const listener of window.listeners) listener(received);
}

/** The records of a window from an offset on, which must be in the window. */
export function fromWindow({ records, to }: PartitionWindow, id: string, offset: number): Chunk {
  let [low, high] = [0, records.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (records[middle]!.offset < offset) low = middle + 1;
    else high = middle;
  }
  return { id, records: low === 0 ? records.slice() : records.slice(low), next: to, more: false };
}
