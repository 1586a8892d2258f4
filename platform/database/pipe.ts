import { performance } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import pg from "pg";
import type { ConnectionBudget } from "./budget.ts";
import type { Holder, Seat, Spare } from "./lane.ts";
import type { Ear } from "./listener.ts";
import type { Statement } from "./sql.ts";
import { databaseError, planIsStale, serverIsReadOnly } from "./statement-error.ts";
import type { WireQuery } from "./wire-query.ts";
import type { Wire } from "./wire.ts";

export interface PipeOptions {
  readonly database: string;
  readonly holder: Holder;
  readonly budget: ConnectionBudget;
  /** An answer that takes longer than this means that the server is gone. */
  readonly silenceMsMax: number;
}

/**
 * How many connections the single statements of a database take at most. One does 90,000 small reads a second, but it waits for the disk at
 * each write: two and more have their commits written together.
 */
const seatsMax = 4;
/** When a statement would wait this long for others even on the best connection, another is opened for those that come later. */
const backlogMsMax = 1;
/**
 * When it has been at work this long (a lock, a long query), what comes next goes elsewhere, and waits for another connection if need be.
 */
const stalledMs = 30;
/** A connection unused for this long is closed; for others who wait, sooner. */
const idleMs = 10_000;
const spareMs = 250;
/**
 * What a statement is told that was sent as parsed already while an equal one before it failed to parse, and the one that then parsed it
 * twice.
 */
const notParsed = new Set(["26000", "42P05"]);

/**
 * A database's single statements, each its own transaction, on one connection and a few more under load. One that fails leaves the others
 * alone, one that waits does not hold up those that come 30 ms after it.
 */
export class Pipe {
  readonly #options: PipeOptions;
  #seats: Seat[] = [];
  #opening: Promise<void> | undefined;
  /** The connection that is listened on as well. */
  #held: Wire | undefined;

  constructor(options: PipeOptions) {
    this.#options = options;
  }

  /** Connections, those included that are at work. */
  get size(): number {
    return this.#seats.length;
  }

  /** Statements sent and not yet answered. */
  get inFlight(): number {
    return this.#seats.reduce((sum, { wire }) => sum + wire.inFlight, 0);
  }

  async query(statement: Statement): Promise<WireQuery> {
    const wire = this.#best() ?? (await this.#another());
    try {
      return await wire.query(statement);
    } catch (error) {
      if (!this.#again(error, wire)) throw databaseError(error, this.#options.database, statement.text);
    }
    try {
      // Without a name, so that this one depends on no other any more.
      return await (this.#best() ?? (await this.#another())).query({ ...statement, name: "" });
    } catch (error) {
      throw databaseError(error, this.#options.database, statement.text);
    }
  }

  /** A connection of these to listen on as well: it is not closed for want of use while it is held. */
  async hold(): Promise<Ear> {
    const wire = this.#best() ?? (await this.#another());
    this.#held = wire;
    return {
      wire,
      end: async () => {
        if (this.#held !== wire) return;
        this.#held = undefined;
        // When it is lost there is nothing to take back.
        if (wire.usable) await settled(wire.script("unlisten *").then(() => undefined));
      },
    };
  }

  /** Gives up a connection for somebody who waits. One that is at work closes when it has answered. */
  spare(which: Spare): boolean {
    if (which === "unused") return this.#retireUnused(spareMs);
    if (which === "extra" && this.#seats.length < 2) return false;
    const seat = this.#seats.findLast(({ wire }) => wire !== this.#held) ?? (which === "any" ? this.#seats[0] : undefined);
    return seat !== undefined && this.#retire(seat);
  }

  tick(nowMs: number): void {
    this.#retireUnused(idleMs);
    for (const { wire } of this.#seats)
      if (wire.inFlight > 0 && nowMs - wire.headSinceMs > this.#options.silenceMsMax) wire.abort(new Error("PostgreSQL does not answer"));
  }

  /** Waits for what was sent, then closes. */
  async stop(): Promise<void> {
    if (this.#opening !== undefined) await settled(this.#opening);
    const closing = this.#seats.map(({ wire }) => wire.closed);
    for (const seat of this.#seats) this.#retire(seat);
    await Promise.all(closing);
  }

  /** The connection with the least to do, or undefined when there is none but stalled ones. */
  #best(): Wire | undefined {
    let best: Wire | undefined;
    for (const { wire } of this.#seats) {
      if (!wire.usable) continue;
      if (wire.inFlight === 0) return wire;
      if (performance.now() - wire.headSinceMs < stalledMs && (best === undefined || wire.inFlight < best.inFlight)) best = wire;
    }
    if (best !== undefined && best.backlogMs > backlogMsMax && this.#mayGrow())
      // Whether it succeeds is for those to see who need it.
      void settled(this.#grow());
    return best;
  }

  async #another(): Promise<Wire> {
    // Answers that have come in while this process was busy elsewhere are read first.
    if (this.#seats.length > 0) await nextTurn();
    const free = this.#best();
    if (free !== undefined) return free;
    const needed = this.#seats.every(({ wire }) => !wire.usable);
    const grown = needed || this.#opening !== undefined || this.#mayGrow() ? await settled(this.#grow()) : undefined;
    const [least] = this.#seats
      .map((seat) => seat.wire)
      .filter(({ usable }) => usable)
      .sort((a, b) => a.inFlight - b.inFlight);
    const wire = this.#best() ?? least;
    if (wire === undefined)
      throw databaseError(grown ?? new Error("The connection was lost as soon as it was open"), this.#options.database);
    return wire;
  }

  #mayGrow(): boolean {
    return this.#opening === undefined && this.#seats.length < seatsMax && this.#options.budget.isRoomy("requests");
  }

  #grow(): Promise<void> {
    return (this.#opening ??= this.#open().finally(() => (this.#opening = undefined)));
  }

  async #open(): Promise<void> {
    const { budget, holder } = this.#options;
    const seat = await budget.take(holder, "requests", true);
    this.#seats.push(seat);
    void seat.wire.closed.then(() => {
      if (this.#leave(seat)) budget.give(seat);
    });
  }

  #retireUnused(unusedMs: number): boolean {
    const nowMs = performance.now();
    const seat = this.#seats.findLast(({ wire }) => wire !== this.#held && wire.inFlight === 0 && nowMs - wire.headSinceMs > unusedMs);
    return seat !== undefined && this.#retire(seat);
  }

  #retire(seat: Seat): boolean {
    const had = this.#leave(seat);
    if (had) this.#options.budget.give(seat, true);
    return had;
  }

  #leave(seat: Seat): boolean {
    const had = this.#seats.includes(seat);
    this.#seats = this.#seats.filter((other) => other !== seat);
    return had;
  }

  /** Whether a statement that failed so never began, and may be sent once more. */
  #again(error: unknown, wire: Wire): boolean {
    if (planIsStale(error) || serverIsReadOnly(error)) {
      const seat = this.#seats.find((candidate) => candidate.wire === wire);
      if (seat !== undefined) this.#retire(seat);
      return planIsStale(error);
    }
    return error instanceof pg.DatabaseError && notParsed.has(error.code ?? "");
  }
}

/** Waits for it; gives the error, if there is one. */
async function settled(promise: Promise<void>): Promise<unknown> {
  const [result] = await Promise.allSettled([promise]);
  return result.status === "rejected" ? result.reason : undefined;
}
