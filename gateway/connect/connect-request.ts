import { create, fromJson, toJson } from "@bufbuild/protobuf";
import type { DescField, JsonValue, Message } from "@bufbuild/protobuf";
import { FieldMaskSchema } from "@bufbuild/protobuf/wkt";
import type { FieldMask } from "@bufbuild/protobuf/wkt";
import type { MethodContract } from "@kontor/platform/contract/contract.ts";
import { isUpdateMask } from "@kontor/platform/contract/element.ts";
import { jsonCodec } from "@kontor/platform/contract/json.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Encoding } from "@kontor/platform/rpc/connect/media-type.ts";
import { messageCodec } from "@kontor/platform/rpc/connect/message-codec.ts";
import { parseJson } from "../edge/body.ts";

/** Builds a method's request message from its bytes. Refuses `INVALID_REQUEST` with the fields. */
export type ReadMessage = (encoding: Encoding, bytes: Buffer) => Message;

/** The reader of a method's requests. What clients may not send over REST (output-only fields, long lists) they may not send here either. */
export function messageReader(contract: MethodContract): ReadMessage {
  const { input } = contract.method;
  const { decode } = jsonCodec(input);
  const mask = input.fields.find(isUpdateMask);
  const read = mask === undefined ? (json: unknown) => decode(json, protoJson) : maskedReader(contract, mask);
  // The rules for what a client may send are those of JSON, so a binary message is read by way of it.
  const jsonOf = (bytes: Buffer): unknown => {
    const message = messageCodec(input, "proto").decode(bytes);
    try {
      return toJson(input, message);
    } catch (cause) {
      throw refuse({
        reason: "INVALID_REQUEST",
        code: "invalid_argument",
        message: "A time or a mask has a value that is not allowed",
        cause,
      });
    }
  };
  return (encoding, bytes) => read(encoding === "json" ? parseJson(bytes) : jsonOf(bytes));
}

/** This protocol's JSON is that of protobuf. */
const protoJson = { nullIsAbsent: true } as const;

/** Reads an update. Without a mask it changes the fields that were sent, except those that say what is updated: over REST they are in the path. */
function maskedReader({ method: { input }, bindings }: MethodContract, { jsonName, localName }: DescField): (json: unknown) => Message {
  const { decode } = jsonCodec(input);
  const names = new Set(input.fields.map(({ name }) => name));
  const identifying = new Set(bindings.flatMap(({ path }) => Array.from(path.matchAll(/\{([^}]+)\}/g), ([, name]) => name)));
  return (json) => {
    if (typeof json !== "object" || json === null || Array.isArray(json)) return decode(json, protoJson);
    const { [jsonName]: sent, ...fields } = json as Readonly<Record<string, unknown>>;
    const message = decode(fields, { fillMask: true, ...protoJson });
    const properties = message as unknown as Record<string, FieldMask>; // a message's fields are its properties
    const paths = (sent ?? undefined) === undefined ? properties[localName]!.paths : maskPaths(jsonName, sent as JsonValue, names);
    properties[localName] = create(FieldMaskSchema, { paths: paths.filter((path) => !identifying.has(path)) });
    return message;
  };
}

function maskPaths(field: string, sent: JsonValue, names: ReadonlySet<string>): readonly string[] {
  const paths = pathsIn(sent);
  if (paths?.every((path) => names.has(path)) === true) return paths;
  const message = "must name fields of this request, separated by commas";
  throw refuse({
    reason: "INVALID_REQUEST",
    code: "invalid_argument",
    message: `${field} ${message}`,
    fields: [{ field, reason: "FORMAT", message }],
  });
}

function pathsIn(sent: JsonValue): readonly string[] | undefined {
  try {
    return fromJson(FieldMaskSchema, sent).paths;
  } catch {
    return undefined; // the caller refuses it with the field's name
  }
}
