import { performance } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import pg from "pg";
import type { ConnectionBudget } from "./connection-budget.ts";
import type { ConnectionOwner, PooledConnection, Reclaimable } from "./fair-share.ts";
import type { ListenConnection } from "./listener.ts";
import type { Statement } from "./sql.ts";
import { databaseError, planIsStale, serverIsReadOnly } from "./statement-error.ts";
import type { WireQuery } from "./wire-query.ts";
import type { WireConnection } from "./wire-connection.ts";

export interface StatementPipelineOptions {
  readonly database: string;
  readonly owner: ConnectionOwner;
  readonly budget: ConnectionBudget;
  /** A result that takes longer than this means that the server is unreachable. */
  readonly responseMsMax: number;
}

/**
 * How many connections the single statements of a database take at most: more than `busyMax` only while statements wait for locks. One does 90,000
 * small reads a second, but it waits for the disk at each write: two have their commits written together, and more would only make more wake-ups.
 */
const connectionsMax = 4;
const busyMax = 2;
/** When a statement would wait this long for others even on the least busy connection, another is opened for later ones. */
const backlogMsMax = 1;
/** When a connection has been at work on a statement this long (a lock, a long query), new ones go elsewhere, to a new connection if need be. */
const stalledMs = 30;
/** A connection unused for this long is closed; sooner when another database waits for one. */
const idleMs = 10_000;
const reclaimableMs = 250;
/** The states of a statement sent as prepared while an equal one before it failed to parse, and of one that was then parsed twice. */
const preparedWrongly = new Set(["26000", "42P05"]);

/**
 * A database's single statements, each its own transaction, pipelined on one connection and a few more under load. One that fails does not
 * affect the others; one that waits for a lock does not delay those that come 30 ms after it.
 */
export class StatementPipeline {
  readonly #options: StatementPipelineOptions;
  #connections: PooledConnection[] = [];
  #opening: Promise<void> | undefined;
  /** The connection that notifications arrive on as well: one more for them alone would cost the server some five megabytes a database. */
  #listening: WireConnection | undefined;

  constructor(options: StatementPipelineOptions) {
    this.#options = options;
  }

  /** How many connections it has. */
  get size(): number {
    return this.#connections.length;
  }

  /** Statements sent whose results are outstanding. */
  get inFlight(): number {
    return this.#connections.reduce((sum, { wire }) => sum + wire.inFlight, 0);
  }

  async query(statement: Statement): Promise<WireQuery> {
    const wire = this.#leastBusy() ?? (await this.#waitForConnection());
    try {
      return await wire.query(statement);
    } catch (error) {
      if (!this.#mayResend(error, wire)) throw databaseError(error, this.#options.database, statement.text);
    }
    try {
      // Without a name, so that it does not depend on what is prepared.
      return await (this.#leastBusy() ?? (await this.#waitForConnection())).query({ ...statement, name: "" });
    } catch (error) {
      throw databaseError(error, this.#options.database, statement.text);
    }
  }

  /** One of the connections to listen on as well: while it is used for that, it is not closed as unused. */
  async shareForListening(): Promise<ListenConnection> {
    const wire = this.#leastBusy() ?? (await this.#waitForConnection());
    this.#listening = wire;
    return {
      wire,
      end: async () => {
        if (this.#listening === wire) this.#listening = undefined;
        // The server forgets the channels of a lost connection.
        if (wire.usable) await settled(wire.script("unlisten *").then(() => undefined));
      },
    };
  }

  /** Gives up a connection for another database that waits. One that is at work closes when its results are there. */
  reclaim(which: Reclaimable): boolean {
    if (which === "unused") return this.#retireUnused(reclaimableMs);
    if (which === "extra" && this.#connections.length < 2) return false;
    const pooled =
      this.#connections.findLast(({ wire }) => wire !== this.#listening) ?? (which === "any" ? this.#connections[0] : undefined);
    return pooled !== undefined && this.#retire(pooled);
  }

  tick(nowMs: number): void {
    this.#retireUnused(idleMs);
    for (const { wire } of this.#connections)
      if (wire.inFlight > 0 && nowMs - wire.headSinceMs > this.#options.responseMsMax) wire.abort(new Error("PostgreSQL does not respond"));
  }

  /** Waits for the results of what was sent, then closes. */
  async stop(): Promise<void> {
    if (this.#opening !== undefined) await settled(this.#opening);
    const closing = this.#connections.map(({ wire }) => wire.closed);
    for (const pooled of this.#connections) this.#retire(pooled);
    await Promise.all(closing);
  }

  /** The connection with the fewest statements in flight; undefined when there are only stalled ones. */
  #leastBusy(): WireConnection | undefined {
    let best: WireConnection | undefined;
    for (const { wire } of this.#connections) {
      if (!wire.usable) continue;
      if (wire.inFlight === 0) return wire;
      if (performance.now() - wire.headSinceMs < stalledMs && (best === undefined || wire.inFlight < best.inFlight)) best = wire;
    }
    if (best !== undefined && best.backlogMs > backlogMsMax && this.#connections.length < busyMax && this.#mayGrow())
      // A failure is reported to the statements that then need a connection.
      void settled(this.#grow());
    return best;
  }

  async #waitForConnection(): Promise<WireConnection> {
    // Results that arrived while this process was busy are read first.
    if (this.#connections.length > 0) await nextTurn();
    const free = this.#leastBusy();
    if (free !== undefined) return free;
    const needed = this.#connections.every(({ wire }) => !wire.usable);
    const grown = needed || this.#opening !== undefined || this.#mayGrow() ? await settled(this.#grow()) : undefined;
    const [least] = this.#connections
      .map((pooled) => pooled.wire)
      .filter(({ usable }) => usable)
      .sort((a, b) => a.inFlight - b.inFlight);
    const wire = this.#leastBusy() ?? least;
    if (wire === undefined)
      throw databaseError(grown ?? new Error("The connection was lost as soon as it was open"), this.#options.database);
    return wire;
  }

  #mayGrow(): boolean {
    return this.#opening === undefined && this.#connections.length < connectionsMax && this.#options.budget.isHalfFree("requests");
  }

  #grow(): Promise<void> {
    return (this.#opening ??= this.#open().finally(() => (this.#opening = undefined)));
  }

  async #open(): Promise<void> {
    const { budget, owner } = this.#options;
    const pooled = await budget.acquire(owner, "requests", true);
    this.#connections.push(pooled);
    void pooled.wire.closed.then(() => {
      if (this.#leave(pooled)) budget.release(pooled);
    });
  }

  #retireUnused(unusedMs: number): boolean {
    const nowMs = performance.now();
    const pooled = this.#connections.findLast(
      ({ wire }) => wire !== this.#listening && wire.inFlight === 0 && nowMs - wire.headSinceMs > unusedMs,
    );
    return pooled !== undefined && this.#retire(pooled);
  }

  #retire(pooled: PooledConnection): boolean {
    const had = this.#leave(pooled);
    if (had) this.#options.budget.release(pooled, true);
    return had;
  }

  #leave(pooled: PooledConnection): boolean {
    const had = this.#connections.includes(pooled);
    this.#connections = this.#connections.filter((other) => other !== pooled);
    return had;
  }

  /** Whether a statement that failed with this error was not executed, and may be sent once more. */
  #mayResend(error: unknown, wire: WireConnection): boolean {
    if (planIsStale(error) || serverIsReadOnly(error)) {
      const pooled = this.#connections.find((candidate) => candidate.wire === wire);
      if (pooled !== undefined) this.#retire(pooled);
      return planIsStale(error);
    }
    return error instanceof pg.DatabaseError && preparedWrongly.has(error.code ?? "");
  }
}

/** Waits for the promise; returns its error, if there is one. */
async function settled(promise: Promise<void>): Promise<unknown> {
  const [result] = await Promise.allSettled([promise]);
  return result.status === "rejected" ? result.reason : undefined;
}
