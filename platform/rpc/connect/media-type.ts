/** How messages are written: as JSON, or in protobuf's binary form. */
export type Encoding = "json" | "proto";

/** What a content type of the protocol says: the encoding, and whether the body is one message or a stream of envelopes. */
export interface BodyFormat {
  readonly encoding: Encoding;
  readonly streams: boolean;
}

/** The content type of one message. It is also that of every error, in JSON. */
export const unaryTypes = { json: "application/json", proto: "application/proto" } as const;
/** The content type of a stream. */
export const streamTypes = { json: "application/connect+json", proto: "application/connect+proto" } as const;

const formats = new Map<string, BodyFormat>(
  (["json", "proto"] as const).flatMap((encoding) => [
    [unaryTypes[encoding], { encoding, streams: false }],
    [streamTypes[encoding], { encoding, streams: true }],
  ]),
);

/** The format that a content type names, or undefined when it is none of the protocol's. */
export function bodyFormatOf(contentType: string | undefined): BodyFormat | undefined {
  if (contentType === undefined) return undefined;
  return formats.get(contentType) ?? formats.get(contentType.toLowerCase().replace(/(json); *charset=utf-?8$/, "$1"));
}
