import type { Readable, Writable } from "node:stream";

/** What carries the frames of a call stream between two processes. */
export interface Carrier {
  readonly stream: Readable & Writable;
  /** Ends it at once, in both directions. */
  cut(): void;
}
