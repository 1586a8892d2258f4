import { performance } from "node:perf_hooks";
import { Idempotency } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import type { MethodContract } from "../contract/contract.ts";
import { refuse } from "../errors/refusal.ts";

export interface AdmissionLimits {
  /** How many may be worked on at once. More hides a slow dependency behind memory, fewer leaves it idle. */
  readonly inFlight: number;
  /** How many may wait for a place; the next one is refused at once. */
  readonly waiting: number;
  /** Who has waited longer than this is refused instead of served: its caller has given up, or soon will. */
  readonly waitMs: number;
}

/** 256 under way, 1,000 waiting, each for 2 s at most. */
export const admissionDefaults: AdmissionLimits = { inFlight: 256, waiting: 1000, waitMs: 2000 };

/** Whether a method goes before others when there is a queue: those that need an Idempotency-Key move money or goods. */
export function isUrgent(contract: Pick<MethodContract, "rest">): boolean {
  return contract.rest?.idempotency === Idempotency.REQUIRED;
}

interface Waiter {
  readonly untilMs: number;
  readonly admit: () => void;
  readonly turnAway: (error: Error) => void;
}

/** A bounded door. Urgent work goes before other work, and takes its place in a full queue. */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #urgent = new Fifo<Waiter>();
  readonly #normal = new Fifo<Waiter>();
  #inFlight = 0;

  constructor(limits: Partial<AdmissionLimits> = {}) {
    this.#limits = { ...admissionDefaults, ...limits };
  }

  /**
   * Takes a place: at once (nothing to await), or when the promise resolves, which it does not at or after `deadlineMs` (monotonic).
   * Refuses `OVERLOADED`. Each entry needs a `leave`.
   */
  enter(urgent: boolean, deadlineMs = Infinity): Promise<void> | undefined {
    if (this.#inFlight < this.#limits.inFlight) {
      this.#inFlight++;
      return undefined;
    }
    if (this.full(urgent)) throw overloaded();
    if (this.#urgent.size + this.#normal.size >= this.#limits.waiting) this.#normal.pop()!.turnAway(overloaded());
    return new Promise((admit, turnAway) => {
      (urgent ? this.#urgent : this.#normal).push({
        untilMs: Math.min(deadlineMs, performance.now() + this.#limits.waitMs),
        admit,
        turnAway,
      });
    });
  }

  /** Whether `enter` would refuse now. */
  full(urgent: boolean): boolean {
    if (this.#inFlight < this.#limits.inFlight) return false;
    if (this.#urgent.size + this.#normal.size < this.#limits.waiting) return false;
    return !urgent || this.#normal.size === 0;
  }

  /** Refuses `OVERLOADED` when `enter` would: before work is done for somebody who will be turned away. */
  refuseWhenFull(urgent: boolean): void {
    if (this.full(urgent)) throw overloaded();
  }

  /** Gives the place back, to the next who waits. */
  leave(): void {
    const nowMs = this.#urgent.size + this.#normal.size === 0 ? 0 : performance.now();
    for (;;) {
      const next = this.#urgent.shift() ?? this.#normal.shift();
      if (next === undefined) break;
      if (next.untilMs > nowMs) {
        next.admit();
        return; // the place changes hands, so the count stays
      }
      next.turnAway(overloaded());
    }
    this.#inFlight--;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get waiting(): number {
    return this.#urgent.size + this.#normal.size;
  }
}

function overloaded() {
  return refuse({ reason: "OVERLOADED", code: "unavailable", message: "The shop is busy; try again", retryAfterMs: 1000 });
}

/** A queue whose `shift` does not move what is behind. */
class Fifo<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get size(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  pop(): T | undefined {
    return this.size === 0 ? undefined : this.#items.pop();
  }

  shift(): T | undefined {
    if (this.size === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head > 1024) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}
