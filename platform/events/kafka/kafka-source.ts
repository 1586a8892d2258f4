import type { EventSource, SourceEvent } from "../transport/event-source.ts";
import type { KafkaFeed } from "./kafka-feed.ts";
import { eventFrom } from "./event-record.ts";
import type { ReceivedRecord } from "./event-record.ts";
import type { Chunk } from "./partition-window.ts";
import { offsetsText, parseOffsets } from "../checkpoint.ts";
import type { TopicOffsets } from "../checkpoint.ts";
import { comparePositions } from "../position.ts";
import type { Position } from "../position.ts";

export interface KafkaSourceNeeds {
  readonly feed: KafkaFeed;
  readonly topic: string;
  readonly partition: number;
  readonly types: ReadonlySet<string>;
  /** Reads an event whose data is not on the topic from its publisher's log. */
  readonly readEventAt: (position: Position) => Promise<SourceEvent | undefined>;
  /** Moves a record that is not an event to the dead letters, with the reason. When it throws, the record is read again. */
  readonly reject: (record: ReceivedRecord, fault: string) => Promise<void>;
  /** Called with the offset up to which the checkpoint covers all records. */
  readonly onProgress: (offset: number) => void;
}

/**
 * Reads one partition of a publisher's topic as if it were the log. The position that each record carries decides about order and repetition: a record
 * that is not after the checkpoint's position is a duplicate and is dropped. Offsets only say where to fetch.
 */
export function kafkaSource({ feed, topic, partition, types, readEventAt, reject, onProgress }: KafkaSourceNeeds): EventSource {
  async function eventOf({
    raw,
    event,
  }: ReceivedRecord & { readonly event: NonNullable<ReceivedRecord["event"]> }): Promise<SourceEvent | undefined> {
    return event.dataInLog ? readEventAt(event.position) : eventFrom(raw, event);
  }

  // Records that have been fetched from far behind and not read yet.
  let unread: Chunk | undefined;

  async function chunkAfter(start: TopicOffsets | undefined): Promise<Chunk | undefined> {
    const offset = start?.offsets[0];
    const first = unread?.records[0]?.offset;
    if (unread === undefined || start?.topic !== unread.id || offset === undefined || first !== offset)
      return feed.read(topic, partition, start);
    return unread;
  }

  return {
    async read(after, limit) {
      const start = parseOffsets(after.offsets);
      const chunk = await chunkAfter(start);
      if (chunk === undefined) return { events: [], next: after, behind: "nothing" };
      if (start?.topic === chunk.id) onProgress(start.offsets[0] ?? 0);
      const events: SourceEvent[] = [];
      let at: Position = after;
      let offset = chunk.next;
      unread = undefined;
      for (const [nth, record] of chunk.records.entries()) {
        if (events.length === limit) {
          offset = record.offset;
          if (chunk.more) unread = { ...chunk, records: chunk.records.slice(nth) };
          break;
        }
        const { event } = record;
        if (event === undefined) await reject(record, record.fault ?? "it is not an event");
        else if (comparePositions(event.position, at) > 0) {
          if (types.has(event.type)) {
            const complete = await eventOf({ ...record, event });
            if (complete === undefined) await reject(record, "its data is not in the publisher's log");
            else events.push(complete);
          }
          at = event.position;
        }
      }
      const { epoch, xid, position } = at;
      const next = { epoch, xid, position, offsets: offsetsText(chunk.id, [offset]) };
      return { events, next, behind: isMore(chunk, offset) ? "more" : "nothing" };
    },
  };
}

function isMore({ next, more }: Chunk, offset: number): boolean {
  return more || offset < next;
}
