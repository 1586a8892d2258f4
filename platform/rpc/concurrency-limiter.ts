import { performance } from "node:perf_hooks";
import type { MethodContract } from "../contract/contract.ts";
import { refuse } from "../errors/refusal.ts";
import type { Refusal } from "../errors/refusal.ts";
import { Deadlines } from "../call/deadlines.ts";
import type { Pending } from "../call/deadlines.ts";

export interface ConcurrencyLimits {
  /** How many may be worked on at once. More hides a slow dependency behind memory, fewer leaves it idle. */
  readonly inFlight: number;
  /** How many may wait for a place; the next one is refused at once. */
  readonly waiting: number;
  /** Who has waited longer than this is refused instead of served: its caller has given up, or soon will. */
  readonly waitMs: number;
}

/** 256 under way, 1,000 waiting, each for 2 s at most. */
export const concurrencyDefaults: ConcurrencyLimits = { inFlight: 256, waiting: 1000, waitMs: 2000 };

/** Whether a method goes before others when there is a queue: those that need an Idempotency-Key move money or goods. */
export function isUrgent({ keyRequired }: Pick<MethodContract, "keyRequired">): boolean {
  return keyRequired;
}

/** How many wait at several doors together. Each door keeps a share of its own, so that a crowd at one closes no other. */
export class SharedQueueLimit {
  readonly max: number;
  readonly share: number;
  waiting = 0;

  /** At most `max` wait, and past that only those whose door has fewer than its share of the `doors`. */
  constructor(max: number, doors: number) {
    this.max = max;
    this.share = Math.max(1, Math.floor(max / Math.max(1, doors)));
  }
}

/** The time of all who wait, at every door, by one timer. */
const waits = new Deadlines();

/** A bounded door. Urgent work goes before other work, and takes its place in a full queue. */
export class ConcurrencyLimiter {
  readonly #limits: ConcurrencyLimits;
  readonly #sharedQueue: SharedQueueLimit;
  readonly #urgent = new Line();
  readonly #normal = new Line();
  #inFlight = 0;

  constructor(limits: Partial<ConcurrencyLimits> = {}, sharedQueue: SharedQueueLimit = new SharedQueueLimit(Infinity, 1)) {
    this.#limits = { ...concurrencyDefaults, ...limits };
    this.#sharedQueue = sharedQueue;
  }

  /**
   * Takes a place: at once (nothing to await), or when the promise resolves, which it does before `deadlineMs` (monotonic). Refuses
   * `OVERLOADED`: now, or when the wait has been too long. Each entry needs a `leave`.
   */
  enter(urgent: boolean, deadlineMs = Infinity): Promise<void> | undefined {
    if (this.#inFlight < this.#limits.inFlight) {
      this.#inFlight++;
      return undefined;
    }
    if (this.full(urgent)) throw overloaded();
    if (this.#crowded()) this.#turnAway(this.#normal.last!);
    return new Promise((admit, refused) => {
      const line = urgent ? this.#urgent : this.#normal;
      const waiter: Waiter = {
        deadlineMs: Math.min(deadlineMs, performance.now() + this.#limits.waitMs),
        line,
        admit,
        refused,
        expire: () => this.#turnAway(waiter),
        before: undefined,
        behind: undefined,
      };
      line.add(waiter);
      this.#sharedQueue.waiting++;
      waits.watch(waiter);
    });
  }

  /** Whether `enter` would refuse now. */
  full(urgent: boolean): boolean {
    return this.#inFlight >= this.#limits.inFlight && this.#crowded() && !(urgent && this.#normal.size > 0);
  }

  /** Refuses `OVERLOADED` when `enter` would: before work is done for somebody who will be turned away. */
  refuseWhenFull(urgent: boolean): void {
    if (this.full(urgent)) throw overloaded();
  }

  /** Gives the place back, to the next who waits. */
  leave(): void {
    // Who is over may not have been told yet.
    const nowMs = this.waiting === 0 ? 0 : performance.now();
    for (;;) {
      const next = this.#urgent.first ?? this.#normal.first;
      if (next === undefined) break;
      if (next.deadlineMs > nowMs) {
        this.#remove(next);
        next.admit();
        return; // the place changes hands, so the count stays
      }
      this.#turnAway(next);
    }
    this.#inFlight--;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get waiting(): number {
    return this.#urgent.size + this.#normal.size;
  }

  #crowded(): boolean {
    const { waiting } = this;
    return waiting >= this.#limits.waiting || (this.#sharedQueue.waiting >= this.#sharedQueue.max && waiting >= this.#sharedQueue.share);
  }

  #turnAway(waiter: Waiter): void {
    this.#remove(waiter);
    waiter.refused(overloaded());
  }

  #remove(waiter: Waiter): void {
    waits.forget(waiter);
    waiter.line.remove(waiter);
    this.#sharedQueue.waiting--;
  }
}

function overloaded(): Refusal {
  return refuse({ reason: "OVERLOADED", code: "unavailable", message: "The shop is busy; try again", retryAfterMs: 1000 });
}

interface Waiter extends Pending {
  readonly line: Line;
  readonly admit: () => void;
  readonly refused: (error: Error) => void;
  before: Waiter | undefined;
  behind: Waiter | undefined;
}

/** Waiters in their order, any of whom may go at any time: a linked list, because nothing has to be moved then. */
class Line {
  first: Waiter | undefined;
  last: Waiter | undefined;
  size = 0;

  add(waiter: Waiter): void {
    waiter.before = this.last;
    if (this.last === undefined) this.first = waiter;
    else this.last.behind = waiter;
    this.last = waiter;
    this.size++;
  }

  remove(waiter: Waiter): void {
    const { before, behind } = waiter;
    if (before === undefined) this.first = behind;
    else before.behind = behind;
    if (behind === undefined) this.last = before;
    else behind.before = before;
    waiter.before = undefined;
    waiter.behind = undefined;
    this.size--;
  }
}
