import { messageBytesMax } from "../wire-call.ts";

/** Puts the bodies together that travel in several frames. */
export class Bodies {
  readonly #begun = new Map<number, { readonly parts: Buffer[]; bytes: number }>();

  /** Throws when the body would be longer than any message. */
  add(call: number, part: Buffer): void {
    let body = this.#begun.get(call);
    if (body === undefined) this.#begun.set(call, (body = { parts: [], bytes: 0 }));
    body.bytes += part.length;
    if (body.bytes > messageBytesMax) throw new Error("a message is too large");
    body.parts.push(part);
  }

  /** The body, of which this is the rest. Most have no other part. */
  take(call: number, rest: Buffer): Buffer {
    const body = this.#begun.size === 0 ? undefined : this.#begun.get(call);
    if (body === undefined) return rest;
    this.#begun.delete(call);
    return Buffer.concat([...body.parts, rest]);
  }

  drop(call: number): void {
    this.#begun.delete(call);
  }
}
