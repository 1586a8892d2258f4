import type { MessageToProduce } from "@platformatic/kafka";
import { recordOf } from "./event-record.ts";
import type { Arrived } from "./event-record.ts";
import type { DeadLetter } from "../subscriptions/parked-store.ts";

/** A value longer than this stays where it is: its place or offset tells where. */
const valueBytesMax = 400_000;

/** A parked event as the record of the topic for them: as it was, and why it is there. */
export function deadLetterRecord({ event, subscription, cause, attempts, givenUp }: DeadLetter, topic: string): MessageToProduce {
  const record = recordOf(event, { service: event.type.split(".")[0] ?? "", topic, parts: 1, dataMax: valueBytesMax });
  return {
    ...record,
    headers: withHeaders(record.headers, {
      kontor_subscription: subscription,
      kontor_cause: cause,
      kontor_attempts: String(attempts),
      kontor_given_up: String(givenUp),
    }),
  };
}

/** A record that is no event, with where it was and what is wrong with it. */
export function buriedRecord(
  { raw, offset }: Arrived,
  options: {
    readonly parkedTopic: string;
    readonly topic: string;
    readonly part: number;
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
      kontor_partition: String(options.part),
      kontor_offset: String(offset),
    }),
  };
}

function withHeaders(headers: MessageToProduce["headers"], added: Readonly<Record<string, string>>): Map<Buffer, Buffer> {
  const all = new Map(headers instanceof Map ? headers : []);
  for (const [name, value] of Object.entries(added)) all.set(Buffer.from(name), Buffer.from(value));
  return all;
}
