import type { Refusal } from "../../errors/refusal.ts";
import { errorJson } from "./error.ts";

// A message of a stream travels in an envelope: a byte of flags, four bytes of length (big-endian), then the message. The last envelope of a
// response says how the stream ended, in JSON whatever the encoding of the messages.

const prefixBytes = 5;
const compressedFlag = 0b01;
const endFlag = 0b10;

export interface Envelope {
  readonly body: Buffer;
  readonly compressed: boolean;
  /** The last one of a response: its body is the JSON of the end, not a message. */
  readonly end: boolean;
}

/** An envelope with a message that `encode` of a codec gave. */
export function messageEnvelope(message: string | Uint8Array): Buffer<ArrayBuffer> {
  return seal(0, message);
}

/** The envelope that ends a stream: with its error, if it failed. */
export function endEnvelope(refusal?: Refusal): Buffer<ArrayBuffer> {
  return seal(endFlag, JSON.stringify(refusal === undefined ? {} : { error: errorJson(refusal) }));
}

function seal(flags: number, body: string | Uint8Array): Buffer<ArrayBuffer> {
  const length = typeof body === "string" ? Buffer.byteLength(body) : body.length;
  const sealed = Buffer.allocUnsafe(prefixBytes + length);
  sealed[0] = flags;
  sealed.writeUInt32BE(length, 1);
  if (typeof body === "string") sealed.write(body, prefixBytes);
  else sealed.set(body, prefixBytes);
  return sealed;
}

/** The envelopes in a body as they arrive. Throws for one larger than `bytesMax`, and when the body ends within an envelope. */
export async function* envelopesIn(chunks: AsyncIterable<Buffer>, bytesMax: number): AsyncGenerator<Envelope> {
  let rest: Buffer[] = [];
  let available = 0;
  let needed = prefixBytes;
  for await (const chunk of chunks) {
    rest.push(chunk);
    available += chunk.length;
    if (available < needed) continue;
    let bytes = rest.length === 1 ? chunk : Buffer.concat(rest);
    for (;;) {
      needed = lengthOf(bytes);
      if (needed > prefixBytes + bytesMax) throw new Error("a message is too large");
      if (bytes.length < needed) break;
      yield opened(bytes.subarray(0, needed));
      bytes = bytes.subarray(needed);
    }
    rest = bytes.length === 0 ? [] : [bytes];
    available = bytes.length;
  }
  if (available > 0) throw new Error("the body ended within a message");
}

/** The envelope that is all of a body; undefined when the body is anything else. */
export function onlyEnvelope(bytes: Buffer): Envelope | undefined {
  return bytes.length >= prefixBytes && bytes.length === lengthOf(bytes) ? opened(bytes) : undefined;
}

/** How many bytes the first envelope has; as many as are needed to say so, when there are fewer. */
function lengthOf(bytes: Buffer): number {
  return bytes.length < prefixBytes ? prefixBytes : prefixBytes + bytes.readUInt32BE(1);
}

function opened(bytes: Buffer): Envelope {
  const flags = bytes[0]!;
  return { body: bytes.subarray(prefixBytes), compressed: (flags & compressedFlag) !== 0, end: (flags & endFlag) !== 0 };
}
