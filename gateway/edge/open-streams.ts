import type { ServerResponse } from "node:http";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { FairShare } from "@kontor/platform/rpc/fair-share.ts";
import type { Client, Holder } from "@kontor/platform/rpc/fair-share.ts";

/** How long a stream may be open: then its client connects again and resumes. */
export const streamMs = 300_000;
const streamsMax = 2_000;
/** A customer's pages, or what an administrator's program follows. */
const streamsOfAccountMax = 100;
/** Longer than a stream may go without a message: only a client that does not read lets a connection rest for so long. */
const stalledMs = 2 * streamMs;

interface OpenStream extends Holder {
  readonly response: ServerResponse;
}

/**
 * The responses that are streams, whatever their protocol: a bounded number, of which each client has its share. One that has to give way to another's ends, and its
 * client connects again. All end when the gateway stops.
 */
export class OpenStreams {
  readonly #open = new Map<AbortController, OpenStream>();
  readonly #places: FairShare;

  constructor(max = streamsMax) {
    this.#places = new FairShare({ max, ofAccountMax: streamsOfAccountMax });
  }

  /** Aborted when the client disconnects, for another client, and by `end`. Refuses `OVERLOADED` when too many are open, or too many of this client's. Needs a `close`. */
  open(response: ServerResponse, client: Client): AbortController {
    const stream = new AbortController();
    const open: OpenStream = { response, client, end: () => stream.abort() };
    if (!this.#places.take(open))
      throw refuse({ reason: "OVERLOADED", code: "unavailable", message: "Too many streams are open; try again", retryAfterMs: 5_000 });
    this.#open.set(stream, open);
    // While its request was admitted, its client may have disconnected.
    if (response.destroyed) stream.abort();
    else response.once("close", () => stream.abort());
    response.setTimeout(stalledMs, () => response.destroy());
    return stream;
  }

  /** The stream is over: what still works for it ends. */
  close(stream: AbortController): void {
    const open = this.#open.get(stream);
    if (open !== undefined) this.#places.give(open);
    this.#open.delete(stream);
    stream.abort();
  }

  /** Ends all, so that their clients connect to another process. One that does not read would not see the end: its connection is cut. */
  end(): void {
    for (const [stream, { response }] of this.#open) {
      stream.abort();
      if (response.writableNeedDrain) response.destroy();
    }
  }
}
