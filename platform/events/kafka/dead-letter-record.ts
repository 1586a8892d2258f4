import type { MessageToProduce } from "@platformatic/kafka";
import { recordOf } from "./event-record.ts";
import type { ReceivedRecord } from "./event-record.ts";
import type { DeadLetter } from "../subscriptions/dead-letter-store.ts";

/** A longer value is left out: the event's position, or the record's offset, shows where it is. */
const valueBytesMax = 400_000;

/** The record of a dead letter: the event's own record, and headers that say why it was parked. */
export function deadLetterRecord({ event, subscription, cause, attempts, attemptsExhausted }: DeadLetter, topic: string): MessageToProduce {
  const record = recordOf(event, { service: event.type.split(".")[0] ?? "", topic, partitions: 1, dataMax: valueBytesMax });
  return {
    ...record,
    headers: withHeaders(record.headers, {
      kontor_subscription: subscription,
      kontor_cause: cause,
      kontor_attempts: String(attempts),
      kontor_attempts_exhausted: String(attemptsExhausted),
    }),
  };
}

/** The record of a dead letter for a record that is not an event: with headers that say where it was and what is wrong with it. */
export function rejectedRecord(
  { raw, offset }: ReceivedRecord,
  options: {
    readonly parkedTopic: string;
    readonly topic: string;
    readonly partition: number;
    readonly subscription: string;
    readonly fault: string;
  },
): MessageToProduce {
  const headers = raw.headers.flatMap(([name, value]): [Buffer, Buffer][] => (name && value ? [[name, value]] : []));
  const short = (raw.value?.byteLength ?? 0) <= valueBytesMax;
  return {
    topic: options.parkedTopic,
    partition: 0,
    ...(raw.key && { key: raw.key }),
    value: short && raw.value ? raw.value : Buffer.alloc(0),
    headers: withHeaders(short ? new Map(headers) : new Map<Buffer, Buffer>(), {
      kontor_subscription: options.subscription,
      kontor_cause: options.fault,
      kontor_topic: options.topic,
      kontor_partition: String(options.partition),
      kontor_offset: String(offset),
    }),
  };
}

function withHeaders(headers: MessageToProduce["headers"], added: Readonly<Record<string, string>>): Map<Buffer, Buffer> {
  const all = new Map(headers instanceof Map ? headers : []);
  for (const [name, value] of Object.entries(added)) all.set(Buffer.from(name), Buffer.from(value));
  return all;
}
