import type { IsLive } from "./sessions.ts";
import type { Verified } from "./tokens.ts";

/** How often the sessions of what is open are checked, all with one call. */
const checkEveryMs = 1_000;

/** What a request that lasts knows of its caller's session. */
export interface OpenSession {
  /** Aborted when the session has ended, within about a second. */
  readonly ended: AbortSignal;
  /** Whether it has not ended, as of now: asked before each delivery, so that nothing is delivered in that second either. */
  isLive(): Promise<boolean>;
  /** The request is over. Needed. */
  close(): void;
}

interface Watched {
  readonly verified: Verified;
  readonly requests: Set<AbortController>;
}

/**
 * The sessions of the requests that last: of streams, and of reads that wait for a change. What a request was admitted for ends with its session, in
 * every topology, because the gateway finds out in the way in which it finds out for a new request.
 */
export class OpenSessions {
  readonly #isLive: IsLive;
  readonly #watched = new Map<string, Watched>();
  #timer: NodeJS.Timeout | undefined;
  #checking = false;

  constructor(isLive: IsLive) {
    this.#isLive = isLive;
  }

  open(verified: Verified): OpenSession {
    const { session } = verified.user;
    const request = new AbortController();
    const watched = this.#watched.get(session) ?? { verified, requests: new Set() };
    watched.requests.add(request);
    this.#watched.set(session, watched);
    this.#timer ??= setInterval(() => void this.#check(), checkEveryMs).unref();
    return {
      ended: request.signal,
      isLive: async () => !request.signal.aborted && (await this.#isLive(verified)),
      close: () => {
        watched.requests.delete(request);
        if (watched.requests.size === 0 && this.#watched.get(session) === watched) this.#watched.delete(session);
        if (this.#watched.size > 0) return;
        clearInterval(this.#timer);
        this.#timer = undefined;
      },
    };
  }

  async #check(): Promise<void> {
    if (this.#checking) return;
    this.#checking = true;
    await Promise.all(
      [...this.#watched.values()].map(async ({ verified, requests }) => {
        if (!(await this.#isLive(verified))) for (const request of requests) request.abort();
      }),
    );
    this.#checking = false;
  }
}
