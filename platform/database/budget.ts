import { performance } from "node:perf_hooks";
import { refuse } from "../errors/refusal.ts";
import type { Lane } from "./database.ts";
import { outsideTransaction } from "./in-transaction.ts";
import { accountOf, emptyLane, hasMore, hasWaited, isBare, marked, neediest, nextOf, patienceMs } from "./lane.ts";
import type { Account, Holder, LaneState, Seat, Waiter } from "./lane.ts";

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

export interface LaneFigures {
  readonly open: number;
  readonly idle: number;
  readonly waiting: number;
}

const tickMs = 100;
/**
 * To close a connection of one database and open one of another costs some ten milliseconds, its statements' plans included, and a process
 * that has fewer connections than its databases could use would do little else. So a connection stays with its database: it goes to another
 * when it was unused for this long, or when the other has fewer by two.
 */
const unusedMs = 100;
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

  /** A database that will take connections: before it does, so that from the first on it is known how many share them. */
  join(holder: Holder): void {
    this.#holders.add(holder);
  }

  figures(lane: Lane): LaneFigures {
    const { open, idle, waiting } = this.#lanes[lane];
    return { open, idle: idle.length, waiting };
  }

  /**
   * A connection of the holder's database. Refuses with OVERLOADED when too many wait or it takes too long, and passes on the error of
   * opening one. `urgent` goes before all others and is never too many: for the one connection that all of a database's single statements
   * share.
   */
  take(holder: Holder, lane: Lane, urgent = false): Promise<Seat> {
    const state = this.#lanes[lane];
    const at = state.idle.findLastIndex((seat) => seat.holder === holder && seat.wire.usable);
    if (at !== -1) return Promise.resolve(marked(state, state.idle.splice(at, 1)[0]!, urgent));
    if (state.waiting >= this.#waitingMax && !urgent) return Promise.reject(overloaded());
    this.#holders.add(holder);
    this.#timer ??= outsideTransaction(() => setInterval(() => this.#tick(), tickMs).unref());
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { sinceMs: performance.now(), urgent, resolve, reject };
      const account = accountOf(state, holder);
      if (urgent) account.waiting.unshift(waiter);
      else account.waiting.push(waiter);
      state.waiting++;
      this.#serve(state);
      this.#makeRoom(state);
    });
  }

  /** Whether half of the lane is unused, so that one may take more than it needs. */
  isRoomy(lane: Lane): boolean {
    const { open, idle, connectionsMax, waiting } = this.#lanes[lane];
    return open - idle.length < connectionsMax / 2 && waiting === 0;
  }

  /** Whether each database may have several connections for requests. */
  get isAmple(): boolean {
    return this.#lanes.requests.connectionsMax >= 3 * this.#holders.size;
  }

  /** Takes a connection back: to be used again, or with `close`, to be closed. */
  give(seat: Seat, close = false): void {
    const state = this.#lanes[seat.lane];
    marked(state, seat, false);
    if (!seat.wire.usable) return this.#leave(state, seat.holder);
    if (close) return this.#close(state, seat);
    const account = accountOf(state, seat.holder);
    if (account.waiting.length > 0 && (state.waiting === account.waiting.length || !this.#owes(state, account))) {
      const waiter = nextOf(state, account);
      return waiter.resolve(marked(state, seat, waiter.urgent));
    }
    seat.idleSinceMs = performance.now();
    state.idle.push(seat);
    if (state.waiting > 0) this.#makeRoom(state);
  }

  /** Closes the unused connections of a database that stops and leaves, and waits for that. */
  async release(holder: Holder): Promise<void> {
    const closing: Promise<void>[] = [];
    for (const state of Object.values(this.#lanes))
      for (const seat of state.idle.filter((candidate) => candidate.holder === holder)) {
        this.#close(state, seat);
        closing.push(seat.wire.closed);
      }
    this.#holders.delete(holder);
    await Promise.all(closing);
    for (const { accounts } of Object.values(this.#lanes)) if (accounts.get(holder)?.share === 0) accounts.delete(holder);
  }

  /** Whether a connection of this account should go to another's waiter and not to its own. */
  #owes(state: LaneState, account: Account): boolean {
    const nowMs = performance.now();
    for (const other of state.accounts.values())
      if (other !== account && other.waiting.length > 0 && hasWaited(state, other, nowMs) && (isBare(other) || hasMore(account, other)))
        return true;
    return false;
  }

  /** Opens for those who wait, as far as there is room: for the urgent, for those who have least, in order. */
  #serve(state: LaneState): void {
    while (state.open < state.connectionsMax && state.waiting > 0) {
      const account = neediest(state)!;
      const waiter = nextOf(state, account);
      const { holder } = account;
      state.open++;
      account.share++;
      if (waiter.urgent) account.kept++;
      // What the connection hears later is no part of what its first user is doing.
      outsideTransaction(() => holder.open()).then(
        (wire) => {
          const seat: Seat = { holder, lane: state.lane, wire, kept: waiter.urgent, idleSinceMs: 0 };
          void wire.closed.then(() => this.#lost(state, seat));
          waiter.resolve(seat);
        },
        (error: unknown) => {
          if (waiter.urgent) account.kept--;
          this.#leave(state, holder);
          waiter.reject(error);
        },
      );
    }
  }

  /** Has connections closed for those who wait, each of them for one who would not have to give it back at once. */
  #makeRoom(state: LaneState): void {
    const nowMs = performance.now();
    for (const account of state.accounts.values()) {
      if (state.closing >= state.waiting) return;
      if (account.waiting.length === 0) continue;
      const bare = isBare(account);
      const hard = bare && hasWaited(state, account, nowMs);
      const seat = state.idle.find(
        ({ holder, idleSinceMs }) =>
          holder !== account.holder && (hard || nowMs - idleSinceMs > unusedMs || hasMore(accountOf(state, holder), account)),
      );
      if (seat !== undefined) this.#close(state, seat);
      else if (state.lane === "requests") {
        // While any come and go with transactions, it is those that transactions wait for.
        const allKept = account.waiting[0]!.urgent || this.#kept(state) === state.open;
        this.#spare(account, { bare, hard: hard && allKept });
      }
      if (bare && !hard) state.patience ??= setTimeout(() => this.#impatient(state), patienceMs[state.lane] + 1).unref();
    }
  }

  #kept(state: LaneState): number {
    let kept = 0;
    for (const account of state.accounts.values()) kept += account.kept;
    return kept;
  }

  #impatient(state: LaneState): void {
    state.patience = undefined;
    this.#makeRoom(state);
  }

  /** Has a database give one back that it keeps for its single statements. */
  #spare({ holder }: Account, { bare, hard }: { readonly bare: boolean; readonly hard: boolean }): void {
    for (const which of ["unused", ...(bare ? ["extra" as const] : []), ...(hard ? ["any" as const] : [])] as const)
      for (const other of this.#holders) {
        if (other === holder || !other.spare(which)) continue;
        // Next time it is another's turn.
        this.#holders.delete(other);
        this.#holders.add(other);
        return;
      }
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
    const account = accountOf(state, holder);
    account.share--;
    if (account.share === 0 && account.waiting.length === 0) state.accounts.delete(holder);
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
      for (const { waiting } of state.accounts.values())
        for (const waiter of waiting.filter(({ sinceMs }) => nowMs - sinceMs > this.#waitMs)) {
          waiting.splice(waiting.indexOf(waiter), 1);
          state.waiting--;
          waiter.reject(overloaded());
        }
      if (state.waiting > 0) this.#makeRoom(state);
      live += state.open + state.waiting;
    }
    for (const holder of this.#holders) holder.tick(nowMs);
    if (live > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/**
 * How many connections a process with so many databases needs at least, 30 % of them for the background: one for each database's single
 * statements, and two to share for transactions. With fewer, databases take connections from each other all the time.
 */
export function connectionsMin(databases: number): number {
  return Math.ceil((databases + 2) / 0.7);
}

/** One for the process, over all its databases. */
export function createBudget(options: BudgetOptions): ConnectionBudget {
  return new ConnectionBudget(options);
}

function overloaded(): Error {
  return refuse({ reason: "OVERLOADED", code: "unavailable", message: "No database connection came free in time", retryAfterMs: 1_000 });
}
