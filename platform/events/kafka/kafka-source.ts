import type { EventSource, SourceEvent } from "../transport/event-source.ts";
import type { KafkaFeed } from "./kafka-feed.ts";
import { eventFrom } from "./event-record.ts";
import type { Arrived } from "./event-record.ts";
import type { Chunk } from "./partition-window.ts";
import { comparePlaces } from "../position.ts";
import type { Place } from "../position.ts";
import { markText, readMark } from "../transport/log-progress.ts";
import type { Mark } from "../transport/log-progress.ts";

export interface KafkaSourceNeeds {
  readonly feed: KafkaFeed;
  readonly topic: string;
  readonly part: number;
  readonly types: ReadonlySet<string>;
  /** Reads an event whose data is not on the topic from its publisher's log. */
  readonly readOne: (place: Place) => Promise<SourceEvent | undefined>;
  /** Puts aside a record that is no event, with the reason. Throws when it cannot: it is tried again. */
  readonly bury: (record: Arrived, fault: string) => Promise<void>;
  /** Told of the offset that a reader has passed. */
  readonly passed: (offset: number) => void;
}

/**
 * One part of a publisher's topic as the log that it comes from. Order and repetition are decided by the place that each record carries: one that
 * the reader's place covers has been there before and is passed over. Offsets only say where to look.
 */
export function kafkaSource({ feed, topic, part, types, readOne, bury, passed }: KafkaSourceNeeds): EventSource {
  async function eventOf({ raw, event }: Arrived & { readonly event: NonNullable<Arrived["event"]> }): Promise<SourceEvent | undefined> {
    return event.dataInLog ? readOne(event.place) : eventFrom(raw, event);
  }

  // What a reader far behind has fetched and not taken yet.
  let spare: Chunk | undefined;

  async function chunkAfter(mark: Mark | undefined): Promise<Chunk | undefined> {
    const offset = mark?.offsets[0];
    const first = spare?.records[0]?.offset;
    if (spare === undefined || mark?.topic !== spare.id || offset === undefined || first !== offset) return feed.read(topic, part, mark);
    return spare;
  }

  return {
    async read(after, limit) {
      const mark = readMark(after.mark);
      const chunk = await chunkAfter(mark);
      if (chunk === undefined) return { events: [], next: after, behind: "nothing" };
      if (mark?.topic === chunk.id) passed(mark.offsets[0] ?? 0);
      const events: SourceEvent[] = [];
      let at: Place = after;
      let offset = chunk.next;
      spare = undefined;
      for (const [nth, record] of chunk.records.entries()) {
        if (events.length === limit) {
          offset = record.offset;
          if (chunk.more) spare = { ...chunk, records: chunk.records.slice(nth) };
          break;
        }
        const { event } = record;
        if (event === undefined) await bury(record, record.fault ?? "it is no event");
        else if (comparePlaces(event.place, at) > 0) {
          if (types.has(event.type)) {
            const whole = await eventOf({ ...record, event });
            if (whole === undefined) await bury(record, "its data is not in the publisher's log");
            else events.push(whole);
          }
          at = event.place;
        }
      }
      const { epoch, xid, position } = at;
      const next = { epoch, xid, position, mark: markText(chunk.id, [offset]) };
      return { events, next, behind: isMore(chunk, offset) ? "more" : "nothing" };
    },
  };
}

function isMore({ next, more }: Chunk, offset: number): boolean {
  return more || offset < next;
}
