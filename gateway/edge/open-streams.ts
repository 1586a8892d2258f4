import type { ServerResponse } from "node:http";
import { refuse } from "@kontor/platform/errors/refusal.ts";

/** How long a stream may be open: then its client connects again and resumes. */
export const streamMs = 300_000;
const streamsMax = 2_000;

/** The responses that are streams: a bounded number, whatever their protocol, and all end when the gateway stops. */
export class OpenStreams {
  readonly #open = new Set<AbortController>();

  /** Aborted when the client disconnects, and by `end`. Refuses `OVERLOADED` when too many are open. Needs a `close`. */
  open(response: ServerResponse): AbortController {
    if (this.#open.size >= streamsMax)
      throw refuse({ reason: "OVERLOADED", code: "unavailable", message: "Too many streams are open; try again", retryAfterMs: 5_000 });
    const stream = new AbortController();
    this.#open.add(stream);
    response.once("close", () => stream.abort());
    return stream;
  }

  /** The stream is over: what still works for it ends. */
  close(stream: AbortController): void {
    this.#open.delete(stream);
    stream.abort();
  }

  /** Ends all, so that their clients connect to another process. */
  end(): void {
    for (const stream of this.#open) stream.abort();
  }
}
