import type { ServerResponse } from "node:http";
import { refuse } from "@kontor/platform/errors/refusal.ts";

/** How long a stream may be open: then its client connects again and resumes. */
export const streamMs = 300_000;
const streamsMax = 2_000;
/** Longer than a stream may go without a message: only a client that does not read lets a connection rest for so long. */
const stalledMs = 2 * streamMs;

/** The responses that are streams: a bounded number, whatever their protocol, and all end when the gateway stops. */
export class OpenStreams {
  readonly #open = new Map<AbortController, ServerResponse>();

  /** Aborted when the client disconnects, and by `end`. Refuses `OVERLOADED` when too many are open. Needs a `close`. */
  open(response: ServerResponse): AbortController {
    if (this.#open.size >= streamsMax)
      throw refuse({ reason: "OVERLOADED", code: "unavailable", message: "Too many streams are open; try again", retryAfterMs: 5_000 });
    const stream = new AbortController();
    this.#open.set(stream, response);
    response.once("close", () => stream.abort());
    response.setTimeout(stalledMs, () => response.destroy());
    return stream;
  }

  /** The stream is over: what still works for it ends. */
  close(stream: AbortController): void {
    this.#open.delete(stream);
    stream.abort();
  }

  /** Ends all, so that their clients connect to another process. One that does not read would not see the end: its connection is cut. */
  end(): void {
    for (const [stream, response] of this.#open) {
      stream.abort();
      if (response.writableNeedDrain) response.destroy();
    }
  }
}
