import { create } from "@bufbuild/protobuf";
import type { DescMessage, Message, MessageShape } from "@bufbuild/protobuf";
import { FieldMaskSchema } from "@bufbuild/protobuf/wkt";
import { isUpdateMask } from "./element.ts";
import { readerOf, textReadersOf } from "./json-decode.ts";
import type { Draft, ReadField } from "./json-decode.ts";
import { encoderOf } from "./json-encode.ts";
import { Problems } from "./problems.ts";
import type { Source } from "./read-scalar.ts";

/** Texts by the name of their field: a path's parameters. */
export type TextValues = Readonly<Record<string, string | readonly string[]>>;

export interface DecodeOptions {
  /** The path's parameters, by the field's name in the proto or in JSON. Their fields cannot be sent in the body as well. */
  readonly path?: TextValues;
  /** For PATCH: fills the request's `update_mask` with the names of the fields that the body has. */
  readonly fillMask?: boolean;
  /**
   * "client" unless said otherwise. "server" reads a response of ours: output-only fields are taken, fields that are not
   * known are passed over, lists have no limits.
   */
  readonly from?: Source;
  /** Whether a field that is null is taken as absent, which proto JSON allows and the documented schemas do not: false for a client, unless said otherwise. */
  readonly nullIsAbsent?: boolean;
}

/** The JSON of one message, in proto3's mapping with the rules of this API. */
export interface JsonCodec<M extends Message = Message> {
  /**
   * Builds the message from a parsed body; undefined is an empty one. Refuses with INVALID_REQUEST and every problem's field:
   * unknown or output-only fields, wrong types, unknown enum values, lists beyond their limit. Rules are the validator's affair.
   */
  decode(json: unknown, options?: DecodeOptions): M;
  /** Builds the message from a path's parameters alone. Refuses as `decode`, names that are not known included. */
  decodeText(values: TextValues): M;
  /** Builds the message from a query's parameters (repeated for lists) and a path's. */
  decodeQuery(query: Iterable<readonly [string, string]>, path?: TextValues): M;
  encode(message: M): string;
}

const codecs = new WeakMap<DescMessage, JsonCodec>();

/** The codec of a message, compiled once. */
export function jsonCodec<D extends DescMessage>(schema: D): JsonCodec<MessageShape<D>> {
  let codec = codecs.get(schema);
  if (codec === undefined) codecs.set(schema, (codec = compile(schema)));
  return codec as JsonCodec<MessageShape<D>>;
}

function compile(schema: DescMessage): JsonCodec {
  const mask = schema.fields.find(isUpdateMask);
  const jsonNames = new Map(
    schema.fields.flatMap((field) => [[field.name, field.jsonName] as const, [field.jsonName, field.jsonName] as const]),
  );
  const protoNames = new Map(schema.fields.map((field) => [field.jsonName, field.name]));
  const encode = encoderOf(schema);

  let textFields: ReadonlyMap<string, ReadField> | undefined;
  const readText = (draft: Draft, name: string, value: string | readonly string[], problems: Problems): void => {
    const field = (textFields ??= textReadersOf(schema)).get(name);
    if (field === undefined) return problems.add("UNKNOWN_FIELD", "is not a parameter that is known here", name);
    problems.enter(name);
    field(draft, value, problems);
    problems.leave();
  };
  const jsonNameOf = (name: string): string => jsonNames.get(name) ?? name;
  const readPath = (draft: Draft, path: TextValues, problems: Problems): void => {
    for (const name of Object.keys(path)) readText(draft, jsonNameOf(name), path[name]!, problems);
  };

  return {
    encode,
    decode(json, options) {
      const from = options?.from ?? "client";
      const problems = new Problems({ nullIsAbsent: options?.nullIsAbsent ?? from === "server" });
      const body = json === undefined ? {} : json;
      const draft = readerOf(schema, from).read(body, problems);
      if (draft === undefined) throw problems.refusal();
      if (options?.path !== undefined) {
        for (const name of Object.keys(options.path).map(jsonNameOf))
          if (Object.hasOwn(body as object, name)) problems.add("UNKNOWN_FIELD", "is given in the path, not in the body", name);
        readPath(draft, options.path, problems);
      }
      problems.check();
      if (options?.fillMask === true && mask !== undefined) {
        const paths = Object.keys(body as object).map((name) => protoNames.get(name) ?? name);
        draft[mask.localName] = create(FieldMaskSchema, { paths });
      }
      return draft;
    },
    decodeText(values) {
      const problems = new Problems();
      const draft = create(schema) as Draft;
      readPath(draft, values, problems);
      problems.check();
      return draft;
    },
    decodeQuery(query, path = {}) {
      const problems = new Problems();
      const draft = create(schema) as Draft;
      const texts = new Map<string, string | string[]>();
      for (const [name, text] of query) {
        const before = texts.get(name);
        if (before === undefined) texts.set(name, text);
        else if (Array.isArray(before)) before.push(text);
        else texts.set(name, [before, text]);
      }
      for (const name of Object.keys(path).map(jsonNameOf))
        if (texts.delete(name)) problems.add("UNKNOWN_FIELD", "is given in the path, not in the query", name);
      readPath(draft, path, problems);
      for (const [name, value] of texts) readText(draft, name, value, problems);
      problems.check();
      return draft;
    },
  };
}
