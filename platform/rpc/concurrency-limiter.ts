import { performance } from "node:perf_hooks";
import type { MethodContract } from "../contract/contract.ts";
import { refuse } from "../errors/refusal.ts";
import type { Refusal } from "../errors/refusal.ts";
import { Deadlines } from "../call/deadlines.ts";
import type { Pending } from "../call/deadlines.ts";

export interface ConcurrencyLimits {
  /** How many calls run at once. More of them hide a slow dependency behind memory, fewer leave it idle. */
  readonly inFlight: number;
  /** How many calls may wait for a slot; the next one is refused at once. */
  readonly waiting: number;
  /** A call that has waited longer than this is refused instead of served: its caller has timed out, or soon will. */
  readonly waitMs: number;
}

/** 256 in flight, 1,000 waiting, each for 2 s at most. */
export const concurrencyDefaults: ConcurrencyLimits = { inFlight: 256, waiting: 1000, waitMs: 2000 };

/** Whether a method goes before others when calls queue: those that require an Idempotency-Key move money or goods. */
export function isUrgent({ keyRequired }: Pick<MethodContract, "keyRequired">): boolean {
  return keyRequired;
}

/** Bounds how many calls wait at several limiters together. Each limiter has a share of its own, so that a full queue at one does not fill the others. */
export class SharedQueueLimit {
  readonly max: number;
  readonly share: number;
  waiting = 0;

  /** At most `max` calls wait; past that only those whose limiter has fewer waiting than its share: `max` divided by the number of `limiters`. */
  constructor(max: number, limiters: number) {
    this.max = max;
    this.share = Math.max(1, Math.floor(max / Math.max(1, limiters)));
  }
}

/** The deadlines of all waiting calls, at every limiter, by one timer. */
const waits = new Deadlines();

/** Bounds how many calls run and wait. Urgent calls go before others, and displace the last of them from a full queue. */
export class ConcurrencyLimiter {
  readonly #limits: ConcurrencyLimits;
  readonly #sharedQueue: SharedQueueLimit;
  readonly #urgent = new WaitQueue();
  readonly #normal = new WaitQueue();
  #inFlight = 0;

  constructor(limits: Partial<ConcurrencyLimits> = {}, sharedQueue: SharedQueueLimit = new SharedQueueLimit(Infinity, 1)) {
    this.#limits = { ...concurrencyDefaults, ...limits };
    this.#sharedQueue = sharedQueue;
  }

  /**
   * Takes a slot: at once (nothing to await), or when the promise resolves, which is before `deadlineMs` (monotonic). Refuses with
   * `OVERLOADED`: now, or when the wait has been too long. Each slot is returned with `leave`.
   */
  enter(urgent: boolean, deadlineMs = Infinity): Promise<void> | undefined {
    if (this.#inFlight < this.#limits.inFlight) {
      this.#inFlight++;
      return undefined;
    }
    if (this.full(urgent)) throw overloaded();
    if (this.#queueFull()) this.#refuse(this.#normal.last!);
    return new Promise((admit, refuse) => {
      const queue = urgent ? this.#urgent : this.#normal;
      const waiter: Waiter = {
        deadlineMs: Math.min(deadlineMs, performance.now() + this.#limits.waitMs),
        queue,
        admit,
        refuse,
        expire: () => this.#refuse(waiter),
        previous: undefined,
        next: undefined,
      };
      queue.add(waiter);
      this.#sharedQueue.waiting++;
      waits.watch(waiter);
    });
  }

  /** Whether `enter` would refuse now. */
  full(urgent: boolean): boolean {
    return this.#inFlight >= this.#limits.inFlight && this.#queueFull() && !(urgent && this.#normal.size > 0);
  }

  /** Refuses with `OVERLOADED` when `enter` would: before work is done for a call that will be refused. */
  refuseWhenFull(urgent: boolean): void {
    if (this.full(urgent)) throw overloaded();
  }

  /** Gives the slot back, to the next waiting call. */
  leave(): void {
    // A waiting call may have expired since the last sweep.
    const nowMs = this.waiting === 0 ? 0 : performance.now();
    for (;;) {
      const next = this.#urgent.first ?? this.#normal.first;
      if (next === undefined) break;
      if (next.deadlineMs > nowMs) {
        this.#remove(next);
        next.admit();
        return; // the slot changes hands, so the count stays
      }
      this.#refuse(next);
    }
    this.#inFlight--;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get waiting(): number {
    return this.#urgent.size + this.#normal.size;
  }

  #queueFull(): boolean {
    const { waiting } = this;
    return waiting >= this.#limits.waiting || (this.#sharedQueue.waiting >= this.#sharedQueue.max && waiting >= this.#sharedQueue.share);
  }

  #refuse(waiter: Waiter): void {
    this.#remove(waiter);
    waiter.refuse(overloaded());
  }

  #remove(waiter: Waiter): void {
    waits.forget(waiter);
    waiter.queue.remove(waiter);
    this.#sharedQueue.waiting--;
  }
}

function overloaded(): Refusal {
  return refuse({ reason: "OVERLOADED", code: "unavailable", message: "The shop is busy; try again", retryAfterMs: 1000 });
}

interface Waiter extends Pending {
  readonly queue: WaitQueue;
  readonly admit: () => void;
  readonly refuse: (error: Error) => void;
  previous: Waiter | undefined;
  next: Waiter | undefined;
}

/** Waiting calls in their order, any of which may leave at any time: a linked list, so that nothing has to be moved. */
class WaitQueue {
  first: Waiter | undefined;
  last: Waiter | undefined;
  size = 0;

  add(waiter: Waiter): void {
    waiter.previous = this.last;
    if (this.last === undefined) this.first = waiter;
    else this.last.next = waiter;
    this.last = waiter;
    this.size++;
  }

  remove(waiter: Waiter): void {
    const { previous, next } = waiter;
    if (previous === undefined) this.first = next;
    else previous.next = next;
    if (next === undefined) this.last = previous;
    else next.previous = previous;
    waiter.previous = undefined;
    waiter.next = undefined;
    this.size--;
  }
}
