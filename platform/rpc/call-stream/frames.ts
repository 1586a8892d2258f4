// What travels on a call stream, in both directions, is frames: four bytes of length (big-endian; of all that follows), a byte for the kind, four bytes
// for the number of the call, then the content. Chunks of the stream may begin and end anywhere within a frame.

/** The kinds of frames. A kind that is not known breaks the stream: there is nobody who sends one. */
export const frameKind = {
  /** To the callee: the call's head (see `encodeHead`), then the request, or the rest of it. With it the call begins. */
  call: 1,
  /** Either way: a piece of a request or reply that is too long for one frame. The rest follows. */
  part: 2,
  /** To the callee: nobody waits for the reply any more. */
  cancel: 3,
  /** To the caller: the reply, or the rest of it. */
  reply: 4,
  /** To the caller: a byte that is 1 when the call was not executed, then the refusal as google.rpc.Status. */
  failed: 5,
  /** To the caller, as call 0: make no new calls on this stream, and end it when those under way have ended. */
  stopping: 6,
} as const;

export interface Frame {
  readonly kind: number;
  readonly call: number;
  /** A view of what was received. */
  readonly content: Buffer;
}

export const nothing = Buffer.alloc(0);
/** Before the content: length, kind and call. */
export const prefixBytes = 9;
/** Longer bodies travel in several frames, so that others get in between. */
export const pieceBytes = 64 * 1024;
/** No head may be longer. Those of real calls have a few hundred bytes. */
export const headBytesMax = 32 * 1024;
const contentBytesMax = pieceBytes + headBytesMax;

/** Writes what is before the content; returns where the content begins. */
export function writePrefix(to: Buffer, at: number, { kind, call, bytes }: { kind: number; call: number; bytes: number }): number {
  to.writeUInt32BE(bytes + prefixBytes - 4, at);
  to[at + 4] = kind;
  to.writeUInt32BE(call, at + 5);
  return at + prefixBytes;
}

/** Finds the frames in chunks. */
export class FrameReader {
  #rest: Buffer | undefined;

  /** The frames that are complete with this chunk. Throws for a length that no frame has. */
  *read(chunk: Buffer): Generator<Frame> {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    let at = 0;
    while (bytes.length - at >= prefixBytes) {
      const length = bytes.readUInt32BE(at);
      if (length < prefixBytes - 4 || length > contentBytesMax + prefixBytes) throw new Error(`a frame of ${length} bytes`);
      const end = at + 4 + length;
      if (end > bytes.length) break;
      yield { kind: bytes[at + 4]!, call: bytes.readUInt32BE(at + 5), content: bytes.subarray(at + prefixBytes, end) };
      at = end;
    }
    if (at < bytes.length) this.#rest = bytes.subarray(at);
  }
}

/** What the callee has to know of a call beside its request. */
export interface CallHead {
  /** "/kontor.orders.v1.OrdersService/GetOrder" */
  readonly path: string;
  /** The caller's facts, as JSON. */
  readonly facts: string;
  /** What is left of the call's time; undefined when it has no deadline. */
  readonly timeoutMs: number | undefined;
}

const fixedBytes = 10;
const noTimeout = 0xffff_ffff;

/** Four bytes of time-out in milliseconds, two for the length of the path, four for that of the facts, then these. */
export function encodeHead({ path, facts, timeoutMs = noTimeout }: CallHead): Buffer {
  const [pathBytes, factsBytes] = [Buffer.byteLength(path), Buffer.byteLength(facts)];
  const head = Buffer.allocUnsafe(fixedBytes + pathBytes + factsBytes);
  head.writeUInt32BE(timeoutMs, 0);
  head.writeUInt16BE(pathBytes, 4);
  head.writeUInt32BE(factsBytes, 6);
  head.write(path, fixedBytes);
  head.write(facts, fixedBytes + pathBytes);
  return head;
}

/** The head and what follows it. Throws when the content is too short for what it says. */
export function decodeHead(content: Buffer): { readonly head: CallHead; readonly rest: Buffer } {
  const timeoutMs = content.readUInt32BE(0);
  const pathEnd = fixedBytes + content.readUInt16BE(4);
  const factsEnd = pathEnd + content.readUInt32BE(6);
  if (factsEnd > content.length) throw new Error("the head of a call is cut off");
  const [path, facts] = [content.toString("utf8", fixedBytes, pathEnd), content.toString("utf8", pathEnd, factsEnd)];
  return { head: { path, facts, timeoutMs: timeoutMs === noTimeout ? undefined : timeoutMs }, rest: content.subarray(factsEnd) };
}
