import { performance } from "node:perf_hooks";
import { refuse } from "../errors/refusal.ts";
import type { Lane } from "./database.ts";
import { outsideTransaction } from "./in-transaction.ts";
import type { Wire } from "./wire.ts";

export interface BudgetOptions {
  /** How many connections all databases together have open at most. */
  readonly connections: number;
  /** How many of them only relay, tasks and subscriptions take; they take no others. */
  readonly background: number;
  /** How long an unused connection stays: 10,000 by default. It goes sooner when another database waits. */
  readonly idleMs?: number;
  /** How long somebody waits for a connection before it is refused: 2,000 by default. */
  readonly waitMs?: number;
  /** How many wait in a lane before more are refused at once: 1,000 by default. */
  readonly waitingMax?: number;
}

/** A database as its budget sees it. */
export interface Holder {
  open(): Promise<Wire>;
  /** Gives a connection back that it holds but can do without; false when there is none. */
  spare(): boolean;
  /** Called about ten times a second while any connection is open. */
  tick(nowMs: number): void;
}

/** A connection that counts against the budget. */
export interface Seat {
  readonly holder: Holder;
  readonly lane: Lane;
  readonly wire: Wire;
  idleSinceMs: number;
}

interface Waiter {
  readonly holder: Holder;
  readonly sinceMs: number;
  readonly resolve: (seat: Seat) => void;
  readonly reject: (error: unknown) => void;
}

interface LaneState {
  readonly lane: Lane;
  readonly connectionsMax: number;
  /** Those being opened and closed included. */
  open: number;
  closing: number;
  /** How many of those each database has. */
  readonly shares: Map<Holder, number>;
  /** Longest unused first. */
  readonly idle: Seat[];
  /** First come first. */
  readonly waiting: Waiter[];
}

export interface LaneFigures {
  readonly open: number;
  readonly idle: number;
  readonly waiting: number;
}

const tickMs = 100;
/**
 * A connection goes to the next who waits for its database, because opening another costs milliseconds; unless somebody came before for a
 * database that has fewer, and has waited this long.
 */
const patienceMs = 50;

/** The connections of a process, shared by all its databases. */
export class ConnectionBudget {
  readonly #idleMs: number;
  readonly #waitMs: number;
  readonly #waitingMax: number;
  readonly #lanes: Readonly<Record<Lane, LaneState>>;
  readonly #holders = new Set<Holder>();
  #timer: NodeJS.Timeout | undefined;

  constructor({ connections, background, idleMs = 10_000, waitMs = 2_000, waitingMax = 1_000 }: BudgetOptions) {
    if (background < 1 || connections - background < 2)
      throw new RangeError("A budget needs one background connection or more, and two others or more");
    this.#idleMs = idleMs;
    this.#waitMs = waitMs;
    this.#waitingMax = waitingMax;
    this.#lanes = { requests: emptyLane("requests", connections - background), background: emptyLane("background", background) };
  }

  figures(lane: Lane): LaneFigures {
    const { open, idle, waiting } = this.#lanes[lane];
    return { open, idle: idle.length, waiting: waiting.length };
  }

  /**
   * A connection of the holder's database. Refuses with OVERLOADED when too many wait or it takes too long, and passes on the error of
   * opening one. `urgent` goes before all others and is never too many: for the one connection that all of a database's single statements
   * share.
   */
  take(holder: Holder, lane: Lane, urgent = false): Promise<Seat> {
    const state = this.#lanes[lane];
    const at = state.idle.findLastIndex((seat) => seat.holder === holder && seat.wire.usable);
    if (at !== -1) return Promise.resolve(state.idle.splice(at, 1)[0]!);
    if (state.waiting.length >= this.#waitingMax && !urgent) return Promise.reject(overloaded());
    this.#holders.add(holder);
    this.#timer ??= outsideTransaction(() => setInterval(() => this.#tick(), tickMs).unref());
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { holder, sinceMs: performance.now(), resolve, reject };
      if (urgent) state.waiting.unshift(waiter);
      else state.waiting.push(waiter);
      this.#serve(state);
      this.#makeRoom(state);
    });
  }

  /** Whether half of the lane is unused, so that one may take more than it needs. */
  isRoomy(lane: Lane): boolean {
    const { open, idle, connectionsMax, waiting } = this.#lanes[lane];
    return open - idle.length < connectionsMax / 2 && waiting.length === 0;
  }

  /** Takes a connection back: to be used again, or with `close`, to be closed. */
  give(seat: Seat, close = false): void {
    const state = this.#lanes[seat.lane];
    if (!seat.wire.usable) return this.#leave(state, seat.holder);
    if (close) return this.#close(state, seat);
    const next = this.#nextFor(state, seat.holder);
    if (next !== undefined) next.resolve(seat);
    else if (state.waiting.length > 0) this.#close(state, seat);
    else {
      seat.idleSinceMs = performance.now();
      state.idle.push(seat);
    }
  }

  /** Closes the unused connections of a database that stops, and waits for that. */
  async release(holder: Holder): Promise<void> {
    const closing: Promise<void>[] = [];
    for (const state of Object.values(this.#lanes))
      for (const seat of state.idle.filter((candidate) => candidate.holder === holder)) {
        this.#close(state, seat);
        closing.push(seat.wire.closed);
      }
    this.#holders.delete(holder);
    await Promise.all(closing);
  }

  /** Who gets a connection of this holder's that is given back: nobody, when it should make room for another database's. */
  #nextFor({ waiting, shares }: LaneState, holder: Holder): Waiter | undefined {
    const first = waiting[0];
    if (first === undefined) return undefined;
    const unfair = (shares.get(first.holder) ?? 0) + 1 < (shares.get(holder) ?? 0);
    if (first.holder !== holder && unfair && performance.now() - first.sinceMs > patienceMs) return undefined;
    const at = waiting.findIndex((waiter) => waiter.holder === holder);
    return at === -1 ? undefined : waiting.splice(at, 1)[0];
  }

  /** Opens for those who wait, in order, as far as there is room. */
  #serve(state: LaneState): void {
    while (state.open < state.connectionsMax && state.waiting.length > 0) {
      const waiter = state.waiting.shift()!;
      state.open++;
      state.shares.set(waiter.holder, (state.shares.get(waiter.holder) ?? 0) + 1);
      // What the connection hears later is no part of what its first user is doing.
      outsideTransaction(() => waiter.holder.open()).then(
        (wire) => {
          const seat: Seat = { holder: waiter.holder, lane: state.lane, wire, idleSinceMs: 0 };
          void wire.closed.then(() => this.#lost(state, seat));
          waiter.resolve(seat);
        },
        (error: unknown) => {
          this.#leave(state, waiter.holder);
          waiter.reject(error);
        },
      );
    }
  }

  #makeRoom(state: LaneState): void {
    if (state.closing >= state.waiting.length) return;
    const longest = state.idle[0];
    if (longest !== undefined) return this.#close(state, longest);
    if (state.lane === "requests") for (const holder of this.#holders) if (holder.spare()) return undefined;
    return undefined;
  }

  #close(state: LaneState, seat: Seat): void {
    const at = state.idle.indexOf(seat);
    if (at !== -1) state.idle.splice(at, 1);
    state.closing++;
    // Only a connection that is really gone makes room: the server counts too.
    void seat.wire.close().then(() => {
      state.closing--;
      this.#leave(state, seat.holder);
    });
  }

  #leave(state: LaneState, holder: Holder): void {
    state.open--;
    state.shares.set(holder, state.shares.get(holder)! - 1);
    this.#serve(state);
  }

  #lost(state: LaneState, seat: Seat): void {
    const at = state.idle.indexOf(seat);
    if (at === -1) return; // whoever has it gives it back
    state.idle.splice(at, 1);
    this.#leave(state, seat.holder);
  }

  #tick(): void {
    const nowMs = performance.now();
    let live = 0;
    for (const state of Object.values(this.#lanes)) {
      for (const seat of state.idle.filter(({ idleSinceMs }) => nowMs - idleSinceMs > this.#idleMs)) this.#close(state, seat);
      for (const waiter of state.waiting.filter(({ sinceMs }) => nowMs - sinceMs > this.#waitMs)) {
        state.waiting.splice(state.waiting.indexOf(waiter), 1);
        waiter.reject(overloaded());
      }
      if (state.waiting.length > 0) this.#makeRoom(state);
      live += state.open + state.waiting.length;
    }
    for (const holder of this.#holders) holder.tick(nowMs);
    if (live > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/** One for the process, over all its databases. */
export function createBudget(options: BudgetOptions): ConnectionBudget {
  return new ConnectionBudget(options);
}

function emptyLane(lane: Lane, connectionsMax: number): LaneState {
  return { lane, connectionsMax, open: 0, closing: 0, shares: new Map(), idle: [], waiting: [] };
}

function overloaded(): Error {
  return refuse({ reason: "OVERLOADED", code: "unavailable", message: "No database connection came free in time", retryAfterMs: 1_000 });
}
