import { ScalarType, toJson } from "@bufbuild/protobuf";
import type { DescEnum, DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { elementOf, hasPresence, isLong } from "./element.ts";
import type { Element } from "./element.ts";
import { isUnspecified } from "./read-scalar.ts";
import { timestampText } from "./timestamp.ts";

/** Turns a message into a plain value that `JSON.stringify` writes. */
type Plain = (message: Message) => unknown;

const writers = new WeakMap<DescMessage, Plain>();
/** Messages that are being compiled: one that holds itself gets a call that looks its writer up when it runs. */
const compiling = new Set<DescMessage>();

/**
 * The compiled writer of a message's JSON. Lists, maps and scalars without presence are always written; messages, `optional`
 * scalars and oneofs only when set; an enum that is unspecified is left out.
 */
export function encoderOf(schema: DescMessage): (message: Message) => string {
  const plain = writerOf(schema);
  // The engine's own writer of texts and commas is faster than any that is put together from pieces of text.
  return (message) => JSON.stringify(plain(message));
}

function writerOf(schema: DescMessage): Plain {
  const known = writers.get(schema);
  if (known !== undefined) return known;
  if (compiling.has(schema)) return (message) => writerOf(schema)(message);
  compiling.add(schema);
  try {
    const writer = compile(schema);
    writers.set(schema, writer);
    return writer;
  } finally {
    compiling.delete(schema);
  }
}

/** What generated code may call: nothing else is in its scope. */
class Scope {
  readonly constants: unknown[] = [];

  name(value: unknown): string {
    const known = this.constants.indexOf(value);
    return `c${known >= 0 ? known : this.constants.push(value) - 1}`;
  }

  get names(): string[] {
    return this.constants.map((_, index) => `c${index}`);
  }
}

/** One object literal with a property for each field, so that all values of a message have one shape; undefined is not written. */
function compile(schema: DescMessage): Plain {
  const scope = new Scope();
  const properties = schema.members.flatMap((member) => {
    if (member.kind === "field") return [property(member, fieldValue(scope, member))];
    const group = `m[${quoted(member.localName)}]`;
    return member.fields.map((field) => {
      const value = element(scope, elementOf(field), `${group}.value`);
      return property(field, `${group}.case === ${quoted(field.localName)} ? ${value} : undefined`);
    });
  });
  const body = `return function (m) { return { ${properties.join(", ")} }; };`;
  // oxlint-disable-next-line no-new-func, typescript/no-implied-eval -- from our own contracts, every name quoted; only a literal keeps one shape
  return new Function(...scope.names, body)(...scope.constants) as Plain;
}

function property(field: DescField, value: string): string {
  // As a plain name in a literal this one would set the prototype.
  return field.jsonName === "__proto__" ? `["__proto__"]: ${value}` : `${quoted(field.jsonName)}: ${value}`;
}

function fieldValue(scope: Scope, field: DescField): string {
  const value = `m[${quoted(field.localName)}]`;
  const one = elementOf(field);
  if (field.fieldKind === "list") return isPlain(one) ? value : `${scope.name(listWriter(elementWriter(one)))}(${value})`;
  if (field.fieldKind === "map") return isPlain(one) ? value : `${scope.name(mapWriter(elementWriter(one)))}(${value})`;
  const written = element(scope, one, value);
  if (hasPresence(field)) return written === value ? value : `${value} === undefined ? undefined : ${written}`;
  const [zero] = field.fieldKind === "enum" ? field.enum.values : [];
  return zero !== undefined && isUnspecified(zero) ? `${value} === 0 ? undefined : ${written}` : written;
}

/** Whether JSON writes the value just as protobuf-es holds it. */
function isPlain(one: Element): boolean {
  if (one.kind === "struct") return true;
  if (one.kind !== "scalar" || isLong(one.scalar)) return false;
  return one.scalar !== ScalarType.BYTES && one.scalar !== ScalarType.DOUBLE && one.scalar !== ScalarType.FLOAT;
}

/** The expression of one value's plain form. */
function element(scope: Scope, one: Element, value: string): string {
  return isPlain(one) ? value : `${scope.name(elementWriter(one))}(${value})`;
}

/** The function for one value that JSON writes otherwise than protobuf-es holds it. */
function elementWriter(one: Element): (value: never) => unknown {
  switch (one.kind) {
    case "scalar":
      return one.scalar === ScalarType.BYTES ? base64 : isLong(one.scalar) ? String : real;
    case "enum":
      return enumWriter(one.enum);
    case "timestamp":
      return timestampText;
    case "struct":
      return (value) => value;
    case "mask":
    case "foreign": {
      const { message } = one;
      return (value: Message) => toJson(message, value);
    }
    case "message":
      return writerOf(one.message);
  }
}

function listWriter<T>(write: (value: T) => unknown): (list: readonly T[]) => unknown[] {
  return (list) => {
    const written: unknown[] = [];
    for (const value of list) written.push(write(value));
    return written;
  };
}

function mapWriter<T>(write: (value: T) => unknown): (map: Readonly<Record<string, T>>) => unknown {
  return (map) => Object.fromEntries(Object.entries(map).map(([key, value]) => [key, write(value)]));
}

const enumWriters = new WeakMap<DescEnum, (number: number) => unknown>();

/** The name of an enum's value; a number that is newer than this contract stays one. */
function enumWriter(descriptor: DescEnum): (number: number) => unknown {
  const known = enumWriters.get(descriptor);
  if (known !== undefined) return known;
  // The first name of a number is the one that is written.
  const names = new Map(descriptor.values.toReversed().map((value) => [value.number, value.jsonName]));
  const write = (number: number): unknown => names.get(number) ?? number;
  enumWriters.set(descriptor, write);
  return write;
}

function base64(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
}

function real(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
