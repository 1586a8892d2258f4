import type { ServerResponse } from "node:http";

const waitsMax = 2_000;
/** A customer's pages, or what an administrator's program follows. */
const waitsOfUserMax = 100;

/**
 * The requests that wait for a change: a bounded number, few of them one user's, so that nobody takes the places of all. All end when the gateway stops.
 * They take no slot of a concurrency limiter.
 */
export class OpenWaits {
  readonly #open = new Map<AbortController, string | undefined>();
  readonly #ofUsers = new Map<string, number>();
  readonly #max: number;
  #ended = false;

  constructor(max = waitsMax) {
    this.#max = max;
  }

  /**
   * Aborted when the client disconnects, and by `end`. Undefined, so that nothing is waited for, when too many wait, or too many of this user's.
   * Needs a `close`.
   */
  open(response: ServerResponse, user?: string): AbortController | undefined {
    if (this.#ended || this.#open.size >= this.#max) return undefined;
    const others = user === undefined ? 0 : (this.#ofUsers.get(user) ?? 0);
    if (others >= waitsOfUserMax) return undefined;
    if (user !== undefined) this.#ofUsers.set(user, others + 1);
    const wait = new AbortController();
    this.#open.set(wait, user);
    if (response.destroyed) wait.abort();
    else response.once("close", () => wait.abort());
    return wait;
  }

  close(wait: AbortController): void {
    const user = this.#open.get(wait);
    this.#open.delete(wait);
    if (user === undefined) return;
    const others = (this.#ofUsers.get(user) ?? 0) - 1;
    if (others > 0) this.#ofUsers.set(user, others);
    else this.#ofUsers.delete(user);
  }

  /** Ends all, and those that would begin later: each is responded to with what is there now. */
  end(): void {
    this.#ended = true;
    for (const wait of this.#open.keys()) wait.abort();
  }
}
