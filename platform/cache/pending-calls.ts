import { performance } from "node:perf_hooks";

/** The result of a call that has no reply from Redis. */
export const unavailable = Symbol("unavailable");

export interface PendingCallsOptions {
  /** How long a call may take. */
  readonly callTimeoutMs: number;
  /** Sends PING to every server; undefined without a connection. */
  readonly ping: () => Promise<unknown> | undefined;
  /** Called when no PING had its reply in time for so long that Redis counts as unreachable. */
  readonly lost: (error: Error) => void;
}

interface PendingCall {
  readonly sinceMs: number;
  readonly waitsWhileSuspect: boolean;
  readonly end: (reply: typeof unavailable) => void;
}

interface Suspicion {
  readonly sinceMs: number;
  readonly timer: NodeJS.Timeout;
}

const pingMs = 50;
/** For how many times a call's time Redis may be suspect. */
const suspectCalls = 10;

/** The calls that wait for Redis's replies. When a reply is late, Redis is suspect until a PING has its reply in time. */
export class PendingCalls {
  readonly #options: PendingCallsOptions;
  readonly #pending = new Set<PendingCall>();
  #watchTimer: NodeJS.Timeout | undefined;
  #suspicion: Suspicion | undefined;

  constructor(options: PendingCallsOptions) {
    this.#options = options;
  }

  /** Whether a reply was late, and no PING has had its reply in time since. */
  get suspect(): boolean {
    return this.#suspicion !== undefined;
  }

  /**
   * The reply, or `unavailable` when it is late; a call that waits while Redis is suspect gets `unavailable` at `end` only. Rejects as the
   * reply does.
   */
  replyOf(reply: Promise<unknown>, waitsWhileSuspect: boolean): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const call: PendingCall = { sinceMs: performance.now(), waitsWhileSuspect, end: resolve };
      this.#pending.add(call);
      if (this.#watchTimer === undefined) this.#watch(this.#options.callTimeoutMs);
      reply.then(
        (value) => {
          this.#pending.delete(call);
          resolve(value);
        },
        (error: unknown) => {
          this.#pending.delete(call);
          reject(error);
        },
      );
    });
  }

  /** Sends PING. A reply in time ends the suspicion: whatever was sent before on the connection has its reply too. */
  ping(): void {
    const sentMs = performance.now();
    const pong = this.#options.ping();
    if (pong === undefined) return;
    this.replyOf(pong, true).then(
      (reply) => {
        if (reply !== unavailable && performance.now() - sentMs <= this.#options.callTimeoutMs) this.#endSuspicion();
      },
      (error: unknown) => this.#options.lost(new Error("PING failed", { cause: error })),
    );
  }

  /** Ends all calls with `unavailable`. */
  end(): void {
    this.#endSuspicion();
    clearTimeout(this.#watchTimer);
    this.#watchTimer = undefined;
    for (const { end } of this.#pending) end(unavailable);
    this.#pending.clear();
  }

  /** Checks the oldest call: one timer for all of them. */
  #watch(afterMs: number): void {
    const timer = setTimeout(() => {
      // After the sockets were read: when this process was busy, the replies may have arrived already, and Redis is not to blame.
      setImmediate(() => {
        if (this.#watchTimer !== timer) return;
        this.#watchTimer = undefined;
        const [oldest] = this.#pending;
        if (oldest === undefined) return;
        const leftMs = oldest.sinceMs + this.#options.callTimeoutMs - performance.now();
        if (leftMs <= 0 && this.#suspicion === undefined) this.#beginSuspicion();
        this.#watch(leftMs > 0 ? Math.ceil(leftMs) : this.#options.callTimeoutMs);
      });
    }, afterMs);
    this.#watchTimer = timer;
  }

  #beginSuspicion(): void {
    const sinceMs = performance.now();
    const check = (): void => {
      if (this.#suspicion !== suspicion) return;
      const suspectMs = performance.now() - sinceMs;
      if (suspectMs > suspectCalls * this.#options.callTimeoutMs)
        this.#options.lost(new Error(`no reply in time for ${Math.round(suspectMs)} ms`));
      else this.ping();
    };
    const suspicion = (this.#suspicion = { sinceMs, timer: setInterval(() => setImmediate(check), pingMs) });
    for (const call of this.#pending)
      if (!call.waitsWhileSuspect) {
        this.#pending.delete(call);
        call.end(unavailable);
      }
    this.ping();
  }

  #endSuspicion(): void {
    clearInterval(this.#suspicion?.timer);
    this.#suspicion = undefined;
  }
}
