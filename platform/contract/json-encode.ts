import { ScalarType, toJson } from "@bufbuild/protobuf";
import type { DescEnum, DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { elementOf, hasPresence, isLong } from "./element.ts";
import type { Element } from "./element.ts";
import { isUnspecified } from "./read-scalar.ts";
import { timestampText } from "./timestamp.ts";

export type Encode = (message: Message) => string;

const encoders = new WeakMap<DescMessage, Encode>();
/** Messages that are being compiled: one that holds itself gets a call that looks the encoder up when it runs. */
const compiling = new Set<DescMessage>();

/**
 * The compiled writer of a message's JSON. Lists, maps and scalars without presence are always written; messages, `optional`
 * scalars and oneofs only when set; an enum that is unspecified is left out.
 */
export function encoderOf(schema: DescMessage): Encode {
  const known = encoders.get(schema);
  if (known !== undefined) return known;
  if (compiling.has(schema)) return (message) => encoderOf(schema)(message);
  compiling.add(schema);
  try {
    const encode = compile(schema);
    encoders.set(schema, encode);
    return encode;
  } finally {
    compiling.delete(schema);
  }
}

/** The code of one function that is being put together. Its constants are what the code may call: nothing else is in its scope. */
class Source {
  readonly constants: unknown[] = [];
  readonly helpers: string[] = [];
  readonly lines: string[] = [];
  /** Unconditional pieces that wait to be one expression. */
  #pieces: string[] = [];
  /** Whether a field has been written before this one: decides about the comma. */
  #before: "no" | "maybe" | "yes" = "no";

  constant(value: unknown): string {
    const known = this.constants.indexOf(value);
    return `c${known >= 0 ? known : this.constants.push(value) - 1}`;
  }

  helper(code: (name: string) => string): string {
    const name = `h${this.helpers.length}`;
    this.helpers.push(code(name));
    return name;
  }

  always(key: string, value: string): void {
    if (this.#before === "maybe") this.#pieces.push(`(s.length > 1 ? "," : "")`);
    this.#pieces.push(quoted(`${this.#before === "yes" ? "," : ""}${JSON.stringify(key)}:`), value);
    this.#before = "yes";
  }

  when(condition: string, key: string, value: string): void {
    this.flush();
    this.lines.push(`if (${condition}) s += ${this.#comma(key)} + ${value};`);
    this.maybe();
  }

  oneof(property: string, cases: readonly { readonly name: string; readonly key: string; readonly value: string }[]): void {
    this.flush();
    const branches = cases.map(({ name, key, value }) => `case ${quoted(name)}: s += ${this.#comma(key)} + ${value}; break;`);
    this.lines.push(`{ const o = m[${property}]; const v = o.value; switch (o.case) { ${branches.join(" ")} } }`);
    this.maybe();
  }

  flush(): void {
    if (this.#pieces.length > 0) this.lines.push(`s += ${this.#pieces.join(" + ")};`);
    this.#pieces = [];
  }

  maybe(): void {
    if (this.#before === "no") this.#before = "maybe";
  }

  #comma(key: string): string {
    const name = `${JSON.stringify(key)}:`;
    return this.#before === "maybe" ? `(s.length > 1 ? "," : "") + ${quoted(name)}` : quoted(this.#before === "yes" ? `,${name}` : name);
  }
}

function compile(schema: DescMessage): Encode {
  const source = new Source();
  for (const member of schema.members) {
    if (member.kind === "field") writeField(source, member);
    else {
      source.oneof(
        quoted(member.localName),
        member.fields.map((field) => ({ name: field.localName, key: field.jsonName, value: element(source, elementOf(field), "v") })),
      );
    }
  }
  source.flush();
  const names = source.constants.map((_, index) => `c${index}`);
  const body = `${source.helpers.join("\n")}\nreturn function (m) { let s = "{"; ${source.lines.join("\n")} return s + "}"; };`;
  // The code comes from our own contracts, every name in it is quoted; a closure for each field takes twice the time.
  return new Function(...names, body)(...source.constants) as Encode;
}

function writeField(source: Source, field: DescField): void {
  const value = `m[${quoted(field.localName)}]`;
  const one = elementOf(field);
  if (field.fieldKind === "list") {
    const name = source.helper(
      (list) =>
        `function ${list}(a) { const n = a.length; if (n === 0) return "[]"; let s = "[" + ${element(source, one, "a[0]")};` +
        ` for (let i = 1; i < n; i++) s += "," + ${element(source, one, "a[i]")}; return s + "]"; }`,
    );
    source.always(field.jsonName, `${name}(${value})`);
  } else if (field.fieldKind === "map") {
    const key = field.mapKey === ScalarType.STRING ? `${source.constant(text)}(k)` : `'"' + k + '"'`;
    const name = source.helper(
      (map) =>
        `function ${map}(o) { let s = "{"; for (const k of Object.keys(o)) s += (s.length > 1 ? "," : "") + ${key} + ":" + ${element(source, one, "o[k]")};` +
        ` return s + "}"; }`,
    );
    source.always(field.jsonName, `${name}(${value})`);
  } else if (hasPresence(field)) source.when(`${value} !== undefined`, field.jsonName, element(source, one, value));
  else if (field.fieldKind === "enum" && isUnspecified(field.enum.values[0] ?? { number: 1, name: "" }))
    source.when(`${value} !== 0`, field.jsonName, element(source, one, value));
  else source.always(field.jsonName, element(source, one, value));
}

/** The expression of one value's JSON. */
function element(source: Source, one: Element, value: string): string {
  switch (one.kind) {
    case "scalar":
      return scalar(source, one.scalar, value);
    case "enum":
      return `${source.constant(enumWriter(one.enum))}(${value})`;
    case "timestamp":
      return `'"' + ${source.constant(timestampText)}(${value}) + '"'`;
    case "struct":
      return `JSON.stringify(${value})`;
    case "mask":
    case "foreign": {
      const { message } = one;
      return `${source.constant((local: Message) => JSON.stringify(toJson(message, local)))}(${value})`;
    }
    case "message":
      return `${source.constant(encoderOf(one.message))}(${value})`;
  }
}

function scalar(source: Source, type: ScalarType, value: string): string {
  switch (type) {
    case ScalarType.STRING:
      return `${source.constant(text)}(${value})`;
    case ScalarType.BYTES:
      return `${source.constant(bytes)}(${value})`;
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return `${source.constant(real)}(${value})`;
    case ScalarType.BOOL:
      return `(${value} ? "true" : "false")`;
    default:
      // The parentheses and the text keep a number from being added to another.
      return isLong(type) ? `('"' + ${value} + '"')` : `("" + ${value})`;
  }
}

const enumWriters = new WeakMap<DescEnum, (number: number) => string>();

function enumWriter(descriptor: DescEnum): (number: number) => string {
  const known = enumWriters.get(descriptor);
  if (known !== undefined) return known;
  // The first name of a number is the one that is written.
  const names = new Map(descriptor.values.toReversed().map((value) => [value.number, JSON.stringify(value.jsonName)]));
  const write = (number: number): string => names.get(number) ?? String(number);
  enumWriters.set(descriptor, write);
  return write;
}

// eslint-disable-next-line no-control-regex -- control characters are what has to be found
const escaped = /[\u0000-\u001f"\\\ud800-\udfff]/;

function text(value: string): string {
  const { length } = value;
  if (length > 40) return escaped.test(value) ? JSON.stringify(value) : `"${value}"`;
  for (let index = 0; index < length; index++) {
    const code = value.charCodeAt(index);
    if (code < 0x20 || code === 0x22 || code === 0x5c || (code >= 0xd800 && code <= 0xdfff)) return JSON.stringify(value);
  }
  return `"${value}"`;
}

function bytes(value: Uint8Array): string {
  return `"${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64")}"`;
}

function real(value: number): string {
  return Number.isFinite(value) ? `${value}` : `"${value}"`;
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
