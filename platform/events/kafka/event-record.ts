import type { MessageToProduce } from "@platformatic/kafka";
import type { SourceEvent } from "../transport/event-source.ts";
import { partitionOfStream } from "./partition-of-stream.ts";
import type { Position } from "../position.ts";

// CloudEvents in Kafka's binary content mode: attributes are headers "ce_…", and Kontor's own are extension attributes.
const names = [
  "ce_position",
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
/** CloudEvents' attribute for data stored elsewhere: here, in the publisher's log at the event's position. */
const inLog = Buffer.from("log");
const nothing = Buffer.alloc(0);

/** A record as it was read: an event, or another record with what is wrong with it. */
export interface ReceivedRecord {
  readonly offset: number;
  readonly size: number;
  /** Undefined when it is not an event: `fault` says why. */
  readonly event?: ReceivedEvent;
  readonly fault?: string;
  readonly raw: RawRecord;
}

export interface ReceivedEvent {
  readonly position: Position;
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
  options: { service: string; topic: string; partitions: number; dataMax: number },
): MessageToProduce {
  const { position, stream, data, at } = event;
  const large = data.byteLength > options.dataMax;
  const key = Buffer.from(stream);
  const headers = new Map<Buffer, Buffer>([
    [keys.ce_position, Buffer.from(`${position.epoch}/${position.xid}/${position.position}`)],
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
    partition: partitionOfStream(stream, options.partitions),
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

/** Decodes a record only as far as needed to decide whether a subscription takes it. */
export function receivedRecord(raw: RawRecord, offset: number, size: number): ReceivedRecord {
  const wrong = (fault: string): ReceivedRecord => ({ offset, size, raw, fault });
  const position = positionFrom(header(raw, keys.ce_position)?.toString("latin1") ?? "");
  const type = header(raw, keys.ce_type);
  if (position === undefined) return wrong("it has no position in a log (ce_position)");
  if (type === undefined) return wrong("it has no type (ce_type)");
  if (header(raw, specKey)?.equals(spec) !== true) return wrong("it is not a CloudEvent of version 1.0");
  if (header(raw, keys.ce_id) === undefined) return wrong("it has no id (ce_id)");
  if (!/^[1-9]\d{0,9}$/.test(header(raw, keys.ce_version)?.toString("latin1") ?? "")) return wrong("it has no version (ce_version)");
  return { offset, size, raw, event: { position, type: type.toString(), dataInLog: header(raw, keys.ce_dataref) !== undefined } };
}

/** The complete event of a record. */
export function eventFrom(raw: RawRecord, { position, type }: ReceivedEvent): SourceEvent {
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
    position,
  };
}

function header({ headers }: RawRecord, name: Buffer): Buffer | undefined {
  for (const [key, value] of headers) if (key?.length === name.length && key.equals(name)) return value ?? undefined;
  return undefined;
}

function positionFrom(text: string): Position | undefined {
  const match = /^(\d{1,9})\/(\d{1,20})\/(\d{1,19})$/.exec(text);
  if (match === null) return undefined;
  const [, epoch = "", xid = "", position = ""] = match;
  return { epoch: Number(epoch), xid, position };
}
