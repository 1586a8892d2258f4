import type { ServerResponse } from "node:http";
import { FairShare } from "@kontor/platform/rpc/fair-share.ts";
import type { Client, Holder } from "@kontor/platform/rpc/fair-share.ts";

const waitsMax = 2_000;
/** A customer's pages, or what an administrator's program follows. */
const waitsOfAccountMax = 100;

/**
 * The requests that wait for a change: a bounded number, of which each client has its share: one that has to give way is
 * responded to at once. All end when the gateway stops. They take no slot
 * of a concurrency limiter.
 */
export class OpenWaits {
  readonly #open = new Map<AbortController, Holder>();
  readonly #places: FairShare;
  #ended = false;

  constructor(max = waitsMax) {
    this.#places = new FairShare({ max, ofAccountMax: waitsOfAccountMax });
  }

  /**
   * Aborted when the client disconnects, for another client, and by `end`. Undefined, so that nothing is waited for, when too many wait, or too many of this client's.
   * Needs a `close`.
   */
  open(response: ServerResponse, client: Client): AbortController | undefined {
    const wait = new AbortController();
    const holder: Holder = { client, end: () => wait.abort() };
    if (this.#ended || !this.#places.take(holder)) return undefined;
    this.#open.set(wait, holder);
    if (response.destroyed) wait.abort();
    else response.once("close", () => wait.abort());
    return wait;
  }

  close(wait: AbortController): void {
    const holder = this.#open.get(wait);
    if (holder !== undefined) this.#places.give(holder);
    this.#open.delete(wait);
  }

  /** Ends all, and those that would begin later: each is responded to with what is there now. */
  end(): void {
    this.#ended = true;
    for (const wait of this.#open.keys()) wait.abort();
  }
}
