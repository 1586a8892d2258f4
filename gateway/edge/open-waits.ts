import type { ServerResponse } from "node:http";

const waitsMax = 2_000;

/** The requests that wait for a change: a bounded number, and all end when the gateway stops. They take no slot of a concurrency limiter. */
export class OpenWaits {
  readonly #open = new Set<AbortController>();
  readonly #max: number;
  #ended = false;

  constructor(max = waitsMax) {
    this.#max = max;
  }

  /** Aborted when the client disconnects, and by `end`. Undefined, so that nothing is waited for, when too many wait. Needs a `close`. */
  open(response: ServerResponse): AbortController | undefined {
    if (this.#ended || this.#open.size >= this.#max) return undefined;
    const wait = new AbortController();
    this.#open.add(wait);
    if (response.destroyed) wait.abort();
    else response.once("close", () => wait.abort());
    return wait;
  }

  close(wait: AbortController): void {
    this.#open.delete(wait);
  }

  /** Ends all, and those that would begin later: each is responded to with what is there now. */
  end(): void {
    this.#ended = true;
    for (const wait of this.#open) wait.abort();
  }
}
