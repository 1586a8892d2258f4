import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, Message } from "@bufbuild/protobuf";
import { jsonCodec } from "../../contract/json.ts";
import { refuse } from "../../errors/refusal.ts";
import type { Encoding } from "./media-type.ts";

/** Bytes of one message in one encoding. */
export interface MessageCodec {
  /** Refuses `INVALID_REQUEST` when the bytes are not such a message. Fields that are not known are ignored. */
  decode(bytes: Buffer): Message;
  encode(message: Message): string | Buffer;
}

const codecs = { json: new WeakMap<DescMessage, MessageCodec>(), proto: new WeakMap<DescMessage, MessageCodec>() } as const;

/** The codec of a message for trusted callers: all fields may be sent, and lists have no limit. Made once. */
export function messageCodec(schema: DescMessage, encoding: Encoding): MessageCodec {
  let codec = codecs[encoding].get(schema);
  if (codec === undefined) codecs[encoding].set(schema, (codec = encoding === "json" ? json(schema) : binary(schema)));
  return codec;
}

function json(schema: DescMessage): MessageCodec {
  const { decode, encode } = jsonCodec(schema);
  return { decode: (bytes) => decode(parsedJson(bytes), { from: "server" }), encode };
}

function binary(schema: DescMessage): MessageCodec {
  return {
    decode(bytes) {
      try {
        return fromBinary(schema, bytes);
      } catch (cause) {
        throw refuse({ reason: "INVALID_REQUEST", code: "invalid_argument", message: "The body is not the message in binary form", cause });
      }
    },
    encode(message) {
      const { buffer, byteOffset, byteLength } = toBinary(schema, message);
      return Buffer.from(buffer, byteOffset, byteLength);
    },
  };
}

function parsedJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch (cause) {
    throw refuse({ reason: "INVALID_REQUEST", code: "invalid_argument", message: "The body is not JSON", cause });
  }
}
