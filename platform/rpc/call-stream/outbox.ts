import type { Writable } from "node:stream";
import { frameKind, pieceBytes, prefixBytes, writePrefix } from "./frames.ts";

/** A frame to be sent, of whatever length. */
export interface Outgoing {
  readonly kind: number;
  readonly call: number;
  /** Goes before the body, in the same frame as its end. */
  readonly head: Uint8Array;
  readonly body: Uint8Array;
}

interface Queued extends Outgoing {
  /** How much of the body has been sent, in frames of its own. */
  sent: number;
}

/**
 * Sends frames in one write for all that were given in the same turn of the event loop; nothing waits for a timer. Of a long body each write takes a piece,
 * so that the frames behind it do not wait for its end. While the other side does not read, frames wait here.
 */
export class Outbox {
  readonly #stream: Writable;
  readonly #blocked: (blocked: boolean) => void;
  #queue: Queued[] = [];
  /** A write is going to happen: in this turn, or when the stream has room again. */
  #waits = false;
  #ends = false;

  /** `blocked` is called when the other side does not read, and when it does again. */
  constructor(stream: Writable, blocked: (blocked: boolean) => void = () => undefined) {
    this.#stream = stream;
    this.#blocked = blocked;
  }

  send(frame: Outgoing): void {
    this.#queue.push({ ...frame, sent: 0 });
    this.#schedule();
  }

  /** Takes a call's frames back as far as they were not sent. */
  drop(call: number): void {
    this.#queue = this.#queue.filter((frame) => frame.call !== call);
  }

  /** Whether the end of this call's frame still waits here. */
  holds(call: number): boolean {
    return this.#queue.some((frame) => frame.call === call);
  }

  /** Ends the stream, in this direction, when everything is sent. */
  end(): void {
    this.#ends = true;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#waits) return;
    this.#waits = true;
    setImmediate(this.#write);
  }

  readonly #write = (): void => {
    this.#waits = false;
    const stream = this.#stream;
    if (stream.destroyed || stream.writableEnded) return;
    if (this.#queue.length === 0) {
      if (this.#ends) stream.end();
      return;
    }
    const { bytes, rest } = pack(this.#queue);
    this.#queue = rest;
    if (stream.write(bytes)) {
      if (rest.length > 0 || this.#ends) this.#schedule();
      return;
    }
    this.#waits = true;
    this.#blocked(true);
    stream.once("drain", () => {
      this.#blocked(false);
      this.#write();
    });
  };
}

/** The bytes of one write, and what is left for the next ones. */
function pack(queue: readonly Queued[]): { bytes: Buffer; rest: Queued[] } {
  let length = 0;
  for (const { head, body, sent } of queue)
    length += prefixBytes + (body.length - sent > pieceBytes ? pieceBytes : head.length + body.length - sent);
  const bytes = Buffer.allocUnsafe(length);
  const rest: Queued[] = [];
  let at = 0;
  for (const frame of queue) {
    const { kind, call, head, body, sent } = frame;
    if (body.length - sent > pieceBytes) {
      at = writePrefix(bytes, at, { kind: frameKind.part, call, bytes: pieceBytes });
      frame.sent += pieceBytes;
      bytes.set(body.subarray(sent, frame.sent), at);
      at += pieceBytes;
      rest.push(frame);
      continue;
    }
    const left = sent === 0 ? body : body.subarray(sent);
    at = writePrefix(bytes, at, { kind, call, bytes: head.length + left.length });
    bytes.set(head, at);
    bytes.set(left, at + head.length);
    at += head.length + left.length;
  }
  return { bytes, rest };
}
