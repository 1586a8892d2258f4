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

/**
 * Bounds how many calls run and wait. Urgent calls go before others, and displace the last of them from a full queue.
 *
 * No client takes it all. A call is given a slot while its client has no more slots than are free, so that one greedy client gets half of them. Waiting
 * clients take turns, however many calls each of them has. In a full queue a client with few calls displaces the last call of the one with most.
 */
export class ConcurrencyLimiter {
  readonly #limits: ConcurrencyLimits;
  readonly #sharedQueue: SharedQueueLimit;
  readonly #urgent = new FairQueue();
  readonly #normal = new FairQueue();
  readonly #slotsOf = new Map<string, number>();
  #inFlight = 0;

  constructor(limits: Partial<ConcurrencyLimits> = {}, sharedQueue: SharedQueueLimit = new SharedQueueLimit(Infinity, 1)) {
    this.#limits = { ...concurrencyDefaults, ...limits };
    this.#sharedQueue = sharedQueue;
  }

  /**
   * Takes a slot: at once (nothing to await), or when the promise resolves, which is before `deadlineMs` (monotonic). Refuses with
   * `OVERLOADED`: now, or when the wait has been too long. Each slot is returned with `leave`, for the same client. Without a client it may
   * take all.
   */
  enter(urgent: boolean, deadlineMs = Infinity, client?: string): Promise<void> | undefined {
    if (this.#mayRun(client)) {
      this.#take(client);
      return undefined;
    }
    if (this.#queueFull()) {
      const displaced = this.#displacedBy(urgent, client);
      if (displaced === undefined) throw overloaded();
      this.#refuse(displaced);
    }
    return new Promise((admit, refuse) => {
      const queue = urgent ? this.#urgent : this.#normal;
      const waiter: Waiter = {
        deadlineMs: Math.min(deadlineMs, performance.now() + this.#limits.waitMs),
        client,
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
  full(urgent: boolean, client?: string): boolean {
    return this.#queueFull() && !this.#mayRun(client) && this.#displacedBy(urgent, client) === undefined;
  }

  /** Refuses with `OVERLOADED` when `enter` would: before work is done for a call that will be refused. `client` is asked when it matters. */
  refuseWhenFull(urgent: boolean, client?: () => string | undefined): void {
    if (this.#queueFull() && this.full(urgent, client?.())) throw overloaded();
  }

  /** Gives the client's slot back, to the next waiting call that may have it. */
  leave(client?: string): void {
    this.#inFlight--;
    if (client !== undefined) {
      const slots = this.#slotsOf.get(client)! - 1; // it has taken one
      if (slots > 0) this.#slotsOf.set(client, slots);
      else this.#slotsOf.delete(client);
    }
    if (this.waiting > 0) this.#admitWaiting();
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get waiting(): number {
    return this.#urgent.size + this.#normal.size;
  }

  #admitWaiting(): void {
    // A waiting call may have expired since the last sweep.
    const nowMs = performance.now();
    const mayRun = (client: string | undefined): boolean => this.#mayRun(client);
    while (this.#inFlight < this.#limits.inFlight) {
      const next = this.#urgent.next(mayRun) ?? this.#normal.next(mayRun);
      if (next === undefined) return;
      if (next.deadlineMs <= nowMs) {
        this.#refuse(next);
        continue;
      }
      this.#remove(next);
      next.queue.passTurn(next.client);
      this.#take(next.client);
      next.admit();
    }
  }

  #take(client: string | undefined): void {
    this.#inFlight++;
    if (client !== undefined) this.#slotsOf.set(client, (this.#slotsOf.get(client) ?? 0) + 1);
  }

  #mayRun(client: string | undefined): boolean {
    const free = this.#limits.inFlight - this.#inFlight;
    return free > 0 && (client === undefined || (this.#slotsOf.get(client) ?? 0) <= free);
  }

  /** The call that makes room in a full queue: an ordinary one for an urgent one, otherwise one of a client that has more of them. */
  #displacedBy(urgent: boolean, client: string | undefined): Waiter | undefined {
    if (urgent && this.#normal.size > 0) return this.#normal.longest?.last;
    const queue = urgent ? this.#urgent : this.#normal;
    const { longest } = queue;
    return client !== undefined && longest !== undefined && queue.sizeOf(client) + 1 < longest.size ? longest.last : undefined;
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
  readonly client: string | undefined;
  readonly queue: FairQueue;
  readonly admit: () => void;
  readonly refuse: (error: Error) => void;
  previous: Waiter | undefined;
  next: Waiter | undefined;
}

/** Waiting calls, of which each client's are in their order, and the clients take turns. */
class FairQueue {
  /** In the order of their turns. */
  readonly #queues = new Map<string | undefined, WaitQueue>();
  size = 0;

  add(waiter: Waiter): void {
    let queue = this.#queues.get(waiter.client);
    if (queue === undefined) this.#queues.set(waiter.client, (queue = new WaitQueue()));
    queue.add(waiter);
    this.size++;
  }

  remove(waiter: Waiter): void {
    const queue = this.#queues.get(waiter.client)!; // it waits there
    queue.remove(waiter);
    if (queue.size === 0) this.#queues.delete(waiter.client);
    this.size--;
  }

  /** The call whose turn it is, among the clients that may have a slot. */
  next(mayRun: (client: string | undefined) => boolean): Waiter | undefined {
    for (const [client, { first }] of this.#queues) if (mayRun(client)) return first;
    return undefined;
  }

  /** The client has had its turn. */
  passTurn(client: string | undefined): void {
    const queue = this.#queues.get(client);
    if (queue === undefined) return;
    this.#queues.delete(client);
    this.#queues.set(client, queue);
  }

  sizeOf(client: string): number {
    return this.#queues.get(client)?.size ?? 0;
  }

  /** The calls of the client that has most of them. */
  get longest(): WaitQueue | undefined {
    let longest: WaitQueue | undefined;
    for (const queue of this.#queues.values()) if (longest === undefined || queue.size > longest.size) longest = queue;
    return longest;
  }
}

/** Waiting calls of one client in their order, any of which may leave at any time: a linked list, so that nothing has to be moved. */
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
