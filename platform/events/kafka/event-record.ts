import type { MessageToProduce } from "@platformatic/kafka";
import type { SourceEvent } from "../transport/event-source.ts";
import { partOfStream } from "../subscriptions/partition-name.ts";
import type { Place } from "../position.ts";

// CloudEvents in Kafka's binary mode: attributes are headers "ce_…", what is ours are extensions of it.
const names = [
  "ce_place",
  "ce_type",
  "ce_id",
  "ce_source",
  "ce_subject",
  "ce_time",
  "ce_version",
  "ce_actor",
  "ce_trace",
  "ce_correlation",
  "ce_causation",
] as const;
type Name = (typeof names)[number];
const keys = Object.fromEntries([...names, "ce_dataref"].map((name) => [name, Buffer.from(name)])) as Record<Name | "ce_dataref", Buffer>;
const [specKey, spec] = [Buffer.from("ce_specversion"), Buffer.from("1.0")];
const [contentKey, content] = [Buffer.from("content-type"), Buffer.from("application/protobuf")];
/** CloudEvents' word for data that is elsewhere: here, in the publisher's log at the event's place. */
const inLog = Buffer.from("log");
const nothing = Buffer.alloc(0);

/** A record as it was read: an event, or something that is none. */
export interface Arrived {
  readonly offset: number;
  readonly size: number;
  /** Undefined when it is no event of ours: why is in `fault`. */
  readonly event?: ArrivedEvent;
  readonly fault?: string;
  readonly raw: RawRecord;
}

export interface ArrivedEvent {
  readonly place: Place;
  readonly type: string;
  /** Whether the data did not fit into a record and must be read from the publisher's log. */
  readonly dataInLog: boolean;
}

export interface RawRecord {
  readonly key?: Buffer | null;
  readonly value?: Buffer | null;
  readonly headers: readonly (readonly [Buffer | null | undefined, Buffer | null | undefined])[];
}

/** The record of an event. Data longer than `dataMax` bytes stays in the log. */
export function recordOf(
  event: SourceEvent,
  options: { service: string; topic: string; parts: number; dataMax: number },
): MessageToProduce {
  const { place, stream, data, at } = event;
  const large = data.byteLength > options.dataMax;
  const key = Buffer.from(stream);
  const headers = new Map<Buffer, Buffer>([
    [keys.ce_place, Buffer.from(`${place.epoch}/${place.xid}/${place.position}`)],
    [keys.ce_type, Buffer.from(event.type)],
    [specKey, spec],
    [keys.ce_id, Buffer.from(event.id)],
    [keys.ce_source, Buffer.from(`/kontor/${options.service}`)],
    [keys.ce_subject, key],
    [keys.ce_time, Buffer.from(at.toISOString())],
    [contentKey, content],
    [keys.ce_version, Buffer.from(String(event.version))],
    [keys.ce_actor, Buffer.from(event.actor)],
    [keys.ce_trace, Buffer.from(event.trace)],
    [keys.ce_correlation, Buffer.from(event.correlation)],
    [keys.ce_causation, Buffer.from(event.causation)],
  ]);
  if (large) headers.set(keys.ce_dataref, inLog);
  return {
    topic: options.topic,
    partition: partOfStream(stream, options.parts),
    key,
    value: large ? nothing : Buffer.from(data.buffer, data.byteOffset, data.byteLength),
    headers,
  };
}

/** About how many bytes a record takes. */
export function recordSize({ key, value, headers }: MessageToProduce): number {
  let size = 80 + (key?.byteLength ?? 0) + (value?.byteLength ?? 0);
  if (headers instanceof Map) for (const [name, text] of headers) size += name.byteLength + text.byteLength + 4;
  return size;
}

/** Looks at a record as far as is needed to know whether anybody wants it. */
export function arrivedRecord(raw: RawRecord, offset: number, size: number): Arrived {
  const [place, type, version] = [header(raw, keys.ce_place), header(raw, keys.ce_type), header(raw, specKey)];
  const at = place === undefined ? undefined : placeFrom(place.toString("latin1"));
  const fault =
    at === undefined
      ? "it has no place in a log (ce_place)"
      : type === undefined
        ? "it has no type (ce_type)"
        : version?.equals(spec) !== true
          ? "it is no CloudEvent of version 1.0"
          : header(raw, keys.ce_id) === undefined
            ? "it has no id (ce_id)"
            : !/^[1-9]\d{0,9}$/.test(header(raw, keys.ce_version)?.toString("latin1") ?? "")
              ? "it has no version (ce_version)"
              : undefined;
  if (fault !== undefined || at === undefined || type === undefined) return { offset, size, raw, fault: fault ?? "it is no event" };
  return { offset, size, raw, event: { place: at, type: type.toString(), dataInLog: header(raw, keys.ce_dataref) !== undefined } };
}

/** The whole event of a record. */
export function eventFrom(raw: RawRecord, { place, type }: ArrivedEvent): SourceEvent {
  const text = (name: Name) => header(raw, keys[name])?.toString() ?? "";
  const at = new Date(text("ce_time"));
  return {
    id: text("ce_id"),
    stream: raw.key?.toString() ?? text("ce_subject"),
    version: Number(text("ce_version")),
    type,
    data: raw.value ?? nothing,
    actor: text("ce_actor"),
    trace: text("ce_trace"),
    correlation: text("ce_correlation"),
    causation: text("ce_causation"),
    at: Number.isNaN(at.getTime()) ? new Date(0) : at,
    place,
  };
}

function header({ headers }: RawRecord, name: Buffer): Buffer | undefined {
  for (const [key, value] of headers) if (key?.length === name.length && key.equals(name)) return value ?? undefined;
  return undefined;
}

function placeFrom(text: string): Place | undefined {
  const match = /^(\d{1,9})\/(\d{1,20})\/(\d{1,19})$/.exec(text);
  if (match === null) return undefined;
  const [, epoch = "", xid = "", position = ""] = match;
  return { epoch: Number(epoch), xid, position };
}
