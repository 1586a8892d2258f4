import { create, fromJson } from "@bufbuild/protobuf";
import type { DescField, DescMessage, DescOneof, JsonValue, Message } from "@bufbuild/protobuf";
import { FieldMaskSchema } from "@bufbuild/protobuf/wkt";
import { elementOf, isOutputOnly, isUpdateMask, rulesOf } from "./element.ts";
import type { Element } from "./element.ts";
import { enumReader, keyReader, nameOf, scalarReader, textReader } from "./read-scalar.ts";
import type { Read, Source } from "./read-scalar.ts";
import type { Problems } from "./problems.ts";
import { timestampFromText } from "./timestamp.ts";

/** How deep a request may be. */
const depthMax = 32;
/** How many items a list or map may have whose rules do not say. */
export const itemsMaxDefault = 1000;

/** A message that is being filled: its properties by their local names. */
export type Draft = Message & { [property: string]: unknown };
/** Reads a value into its field. */
export type ReadField = (draft: Draft, json: unknown, problems: Problems) => void;

/** The compiled reader of a message's JSON. What a client sends may have no unknown and no output-only fields; a server's response may. */
export interface MessageReader {
  /** The fields that may be sent, by their JSON names. */
  readonly fields: ReadonlyMap<string, ReadField>;
  readonly read: (json: unknown, problems: Problems) => Draft | undefined;
}

const readers = { client: new WeakMap<DescMessage, MessageReader>(), server: new WeakMap<DescMessage, MessageReader>() };

export function readerOf(schema: DescMessage, source: Source): MessageReader {
  const known = readers[source].get(schema);
  if (known !== undefined) return known;
  const fields = new Map<string, ReadField>();
  const reader: MessageReader = { fields, read: (json, problems) => readMessage(schema, fields, source, json, problems) };
  // Registered before its fields are compiled: a message may hold itself.
  readers[source].set(schema, reader);
  for (const field of schema.fields) {
    if (source === "client" && isUpdateMask(field)) continue;
    fields.set(field.jsonName, source === "client" && isOutputOnly(field) ? refuseOutputOnly : fieldReader(field, source));
  }
  return reader;
}

function readMessage(
  schema: DescMessage,
  fields: ReadonlyMap<string, ReadField>,
  source: Source,
  json: unknown,
  problems: Problems,
): Draft | undefined {
  if (!isObject(json, problems)) return undefined;
  const draft = create(schema) as Draft;
  for (const key of Object.keys(json)) {
    const field = fields.get(key);
    if (field === undefined) {
      if (source === "client") problems.add("UNKNOWN_FIELD", "is not a field that is known here", key);
      continue;
    }
    problems.enter(key);
    field(draft, json[key], problems);
    problems.leave();
  }
  return draft;
}

const refuseOutputOnly: ReadField = (_, json, problems) => {
  if (!isAbsent(json, problems)) problems.add("OUTPUT_ONLY", "is set by the server and cannot be sent");
};

function fieldReader(field: DescField, source: Source): ReadField {
  const one = elementOf(field);
  const read = elementReader(one, source);
  const name = field.localName;
  // The one message that can hold null.
  const holdsNull = one.kind === "foreign" && one.message.typeName === "google.protobuf.Value";
  switch (field.fieldKind) {
    case "list": {
      const max = source === "client" ? (rulesOf(field)?.maxItems ?? itemsMaxDefault) : Number.MAX_SAFE_INTEGER;
      return (draft, json, problems) => {
        if (!isAbsent(json, problems)) draft[name] = readList(json, read, max, problems);
      };
    }
    case "map": {
      const max = source === "client" ? (rulesOf(field)?.maxProperties ?? itemsMaxDefault) : Number.MAX_SAFE_INTEGER;
      const key = keyReader(field.mapKey);
      return (draft, json, problems) => {
        if (!isAbsent(json, problems)) draft[name] = readMap(json, key, read, max, problems);
      };
    }
    default: {
      const set = setterOf(field);
      return (draft, json, problems) => {
        if (holdsNull || !isAbsent(json, problems)) set(draft, read(json, problems), problems);
      };
    }
  }
}

function isAbsent(json: unknown, problems: Problems): boolean {
  return json === null && problems.nullIsAbsent;
}

/** Puts a value that was read into its property or its oneof; a value that could not be read stays out. */
function setterOf(field: DescField): (draft: Draft, value: unknown, problems: Problems) => void {
  const name = field.localName;
  const { oneof } = field;
  if (oneof === undefined) {
    return (draft, value) => {
      if (value !== undefined) draft[name] = value;
    };
  }
  const names = memberNames(oneof);
  return (draft, value, problems) => {
    const group = draft[oneof.localName] as { case: string | undefined };
    if (group.case !== undefined && group.case !== name) problems.add("ONE_OF", `cannot be sent together with another of ${names}`);
    else if (value !== undefined) draft[oneof.localName] = { case: name, value };
  };
}

function memberNames(oneof: DescOneof): string {
  return oneof.fields.map((field) => field.jsonName).join(", ");
}

function elementReader(one: Element, source: Source): Read {
  switch (one.kind) {
    case "scalar":
      return scalarReader(one.scalar, one.longAsString, source);
    case "enum":
      return enumReader(one.enum, source);
    case "timestamp":
      return readTimestamp;
    case "struct":
      return (json, problems) => (isObject(json, problems) && isPlain(json, problems) ? json : undefined);
    case "mask":
    case "foreign":
      return (json, problems) => (isPlain(json, problems) ? readForeign(one.message, json, problems) : undefined);
    case "message":
      return readerOf(one.message, source).read;
  }
}

function readTimestamp(json: unknown, problems: Problems): unknown {
  const timestamp = typeof json === "string" ? timestampFromText(json) : undefined;
  if (timestamp === undefined) {
    if (typeof json === "string") problems.add("FORMAT", "must be a time such as 2026-01-31T12:00:00Z");
    else problems.add("WRONG_TYPE", `must be a text with a time, not ${nameOf(json)}`);
  }
  return timestamp;
}

function readForeign(schema: DescMessage, json: unknown, problems: Problems): unknown {
  try {
    return fromJson(schema, json as JsonValue);
  } catch {
    // protobuf-es throws for what is not this message's JSON, and says so in words for programmers.
    problems.add("FORMAT", `must be the JSON of ${schema.typeName}`);
    return undefined;
  }
}

function readList(json: unknown, read: Read, max: number, problems: Problems): unknown[] {
  if (!Array.isArray(json)) return (problems.add("WRONG_TYPE", `must be a list, not ${nameOf(json)}`), []);
  if (json.length > max) return (problems.add("TOO_MANY", `must have at most ${max} items`), []);
  const list: unknown[] = [];
  for (let index = 0; index < json.length; index++) {
    problems.enter(index);
    list.push(read(json[index], problems));
    problems.leave();
  }
  return list;
}

function readMap(
  json: unknown,
  readKey: (text: string) => string | undefined,
  read: Read,
  max: number,
  problems: Problems,
): Record<string, unknown> {
  const map: Record<string, unknown> = {};
  if (!isObject(json, problems)) return map;
  const keys = Object.keys(json);
  if (keys.length > max) return (problems.add("TOO_MANY", `must have at most ${max} entries`), map);
  for (const key of keys) {
    const name = readKey(key);
    if (name === undefined) {
      problems.add("KEY", "is not a key that is possible here", key);
      continue;
    }
    problems.enter(key);
    map[name] = read(json[key], problems);
    problems.leave();
  }
  return map;
}

function isObject(json: unknown, problems: Problems): json is Record<string, unknown> {
  if (problems.depth > depthMax) return (problems.add("TOO_DEEP", `lies more than ${depthMax} levels deep`), false);
  if (typeof json === "object" && json !== null && !Array.isArray(json)) return true;
  problems.add("WRONG_TYPE", `must be an object, not ${nameOf(json)}`);
  return false;
}

/** Whether JSON that is taken as it is has no depths and no property that would change an object's prototype when copied. */
function isPlain(json: unknown, problems: Problems): boolean {
  const reason = poison(json, depthMax - problems.depth);
  if (reason !== undefined)
    problems.add(reason, reason === "TOO_DEEP" ? `lies more than ${depthMax} levels deep` : "has a key that is not allowed");
  return reason === undefined;
}

function poison(json: unknown, levels: number): "TOO_DEEP" | "KEY" | undefined {
  if (typeof json !== "object" || json === null) return undefined;
  if (levels < 0) return "TOO_DEEP";
  if (Object.hasOwn(json, "__proto__")) return "KEY";
  for (const value of Object.values(json)) {
    const reason = poison(value, levels - 1);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

const textFields = new WeakMap<DescMessage, ReadonlyMap<string, ReadField>>();

/** The readers of the fields that can be written as text, in a path or a query: scalars, enums, times, and lists of them. */
export function textReadersOf(schema: DescMessage): ReadonlyMap<string, ReadField> {
  const known = textFields.get(schema);
  if (known !== undefined) return known;
  const fields = new Map<string, ReadField>();
  for (const field of schema.fields) {
    if (isUpdateMask(field) || field.fieldKind === "map") continue;
    const read = textElementReader(elementOf(field));
    if (read !== undefined) fields.set(field.jsonName, isOutputOnly(field) ? refuseOutputOnly : textFieldReader(field, read));
  }
  textFields.set(schema, fields);
  return fields;
}

function textElementReader(one: Element): Read | undefined {
  if (one.kind === "scalar") return textReader(one.scalar, one.longAsString);
  if (one.kind === "enum" || one.kind === "timestamp") return elementReader(one, "client");
  return one.kind === "mask" ? (text, problems) => readForeign(FieldMaskSchema, text, problems) : undefined;
}

function textFieldReader(field: DescField, read: Read): ReadField {
  if (field.fieldKind === "list") {
    const max = rulesOf(field)?.maxItems ?? itemsMaxDefault;
    return (draft, texts, problems) => {
      draft[field.localName] = readList(Array.isArray(texts) ? texts : [texts], read, max, problems);
    };
  }
  const set = setterOf(field);
  return (draft, text, problems) => {
    if (Array.isArray(text)) problems.add("WRONG_TYPE", "must be given once");
    else set(draft, read(text, problems), problems);
  };
}
