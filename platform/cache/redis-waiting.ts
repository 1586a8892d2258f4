import { performance } from "node:perf_hooks";

/** What a call gives that has no answer. */
export const away = Symbol("away");

export interface WaitingCallsOptions {
  /** How long a call may take. */
  readonly callTimeoutMs: number;
  /** Asks every server for a sign of life. */
  readonly ping: () => Promise<unknown> | undefined;
  /** There was no sign of life in time for so long that Redis is away. */
  readonly lost: (error: Error) => void;
}

interface Waiting {
  readonly sinceMs: number;
  readonly patient: boolean;
  readonly end: (reply: typeof away) => void;
}

interface Doubt {
  readonly sinceMs: number;
  readonly timer: NodeJS.Timeout;
}

const pingMs = 50;
/** For how many times a call's time there may be doubt. */
const doubts = 10;

/** The calls that wait for Redis, and whether its answers come in time. */
export class WaitingCalls {
  readonly #options: WaitingCallsOptions;
  readonly #waiting = new Set<Waiting>();
  #watchTimer: NodeJS.Timeout | undefined;
  #rejectedToken: Doubt | undefined;

  constructor(options: WaitingCallsOptions) {
    this.#options = options;
  }

  /** Whether a call had no answer in time, and no sign of life has come in time since. */
  get inDoubt(): boolean {
    return this.#rejectedToken !== undefined;
  }

  /** The reply, or `away` when there is none in time; patient calls wait until `end`. Rejects as the reply does. */
  answered(reply: Promise<unknown>, patient: boolean): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { sinceMs: performance.now(), patient, end: resolve };
      this.#waiting.add(waiting);
      if (this.#watchTimer === undefined) this.#watch(this.#options.callTimeoutMs);
      reply.then(
        (value) => {
          this.#waiting.delete(waiting);
          resolve(value);
        },
        (error: unknown) => {
          this.#waiting.delete(waiting);
          reject(error);
        },
      );
    });
  }

  /** Asks for a sign of life. When it comes in time there is no doubt: all that was asked before is answered too. */
  ping(): void {
    const askedMs = performance.now();
    const reply = this.#options.ping();
    if (reply === undefined) return;
    this.answered(reply, true).then(
      (answer) => {
        if (answer !== away && performance.now() - askedMs <= this.#options.callTimeoutMs) this.#noDoubt();
      },
      (error: unknown) => this.#options.lost(new Error("there is no sign of life", { cause: error })),
    );
  }

  /** Ends all calls without an answer. */
  end(): void {
    this.#noDoubt();
    clearTimeout(this.#watchTimer);
    this.#watchTimer = undefined;
    for (const { end } of this.#waiting) end(away);
    this.#waiting.clear();
  }

  /** Looks after the call that waits longest: one timer for all of them. */
  #watch(afterMs: number): void {
    const timer = setTimeout(() => {
      // After a look at the sockets: when this process was busy, the answers may be there already, and Redis is not to blame.
      setImmediate(() => {
        if (this.#watchTimer !== timer) return;
        this.#watchTimer = undefined;
        const [oldest] = this.#waiting;
        if (oldest === undefined) return;
        const leftMs = oldest.sinceMs + this.#options.callTimeoutMs - performance.now();
        if (leftMs <= 0 && this.#rejectedToken === undefined) this.#beginDoubt();
        this.#watch(leftMs > 0 ? Math.ceil(leftMs) : this.#options.callTimeoutMs);
      });
    }, afterMs);
    this.#watchTimer = timer;
  }

  #beginDoubt(): void {
    const sinceMs = performance.now();
    const look = (): void => {
      if (this.#rejectedToken !== rejectedToken) return;
      const doubtMs = performance.now() - sinceMs;
      if (doubtMs > doubts * this.#options.callTimeoutMs) this.#options.lost(new Error(`no answer in time for ${Math.round(doubtMs)} ms`));
      else this.ping();
    };
    const rejectedToken = (this.#rejectedToken = { sinceMs, timer: setInterval(() => setImmediate(look), pingMs) });
    for (const waiting of this.#waiting)
      if (!waiting.patient) {
        this.#waiting.delete(waiting);
        waiting.end(away);
      }
    this.ping();
  }

  #noDoubt(): void {
    clearInterval(this.#rejectedToken?.timer);
    this.#rejectedToken = undefined;
  }
}
