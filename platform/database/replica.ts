import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { refusalIn } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { backoffMs } from "../retry/backoff.ts";
import type { ConnectionBudget } from "./connection-budget.ts";
import type { ConnectionOwner, Reclaimable } from "./fair-share.ts";
import type { Connection } from "./connection.ts";
import type { Queries } from "./database.ts";
import { outsideTransaction } from "./in-transaction.ts";
import { StatementPipeline } from "./statement-pipeline.ts";
import { Endpoints } from "./endpoints.ts";
import { compile, sql } from "./sql.ts";
import type { Statement } from "./sql.ts";
import { databaseError, StatementError } from "./statement-error.ts";
import { WireConnection } from "./wire-connection.ts";
import type { WireQuery } from "./wire-query.ts";

export interface ReplicaOptions {
  readonly name: string;
  readonly connection: Connection;
  readonly budget: ConnectionBudget;
  readonly log: Logger;
  readonly primary: Queries;
  readonly statementTimeoutMs: number;
  /** A result may be this old. */
  readonly lagMsMax: number;
}

/** How often its replay position is checked while it is read from; sooner when a read needs a later one. */
const checkMs = 200;
const hurryMs = 20;
/** Between checks while it is behind. */
const pollMs = 10;
const idleMs = 10_000;
const checking = { pauseMsMin: checkMs, pauseMsMax: 5_000 };
/** A statement that takes longer here is sent to the primary. */
const responseMsMax = 1_000;
/** So many keys whose change it may not have yet; with more, all reads go to the primary until the next check. */
const keysMax = 10_000;

interface Server {
  readonly standby: boolean;
  /** Which server it is, and when it started. */
  readonly identity: string;
  /** The same for all servers of one cluster. */
  readonly system: string;
}

const whichServer = sql`select pg_is_in_recovery() as standby, system_identifier::text as system,
  pg_postmaster_start_time()::text || ' ' || coalesce(inet_server_addr()::text, '') || ' ' || coalesce(inet_server_port(), 0) as identity
  from pg_control_system()`;
/** All that has been committed is before this position. A standby gets only what is flushed. */
const walPosition = sql`select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_flush_lsn() end)::text as lsn`;

/**
 * A database's replica, as far as this process knows it. Its replay position is compared with the position that the primary had written at
 * an earlier moment: once the replica is there, it has all that was committed until that moment. All connections go to one server, because
 * others may be further behind.
 */
export class Replica implements ConnectionOwner {
  readonly #pipeline: StatementPipeline;
  readonly #options: ReplicaOptions;
  readonly #endpoints: Endpoints;
  /** On the monotonic clock: it has all that was committed before. */
  #asOfMs = Number.NEGATIVE_INFINITY;
  /** It must have all that was committed before this, under any key: migrations, when this object is created. */
  #floorMs = performance.now();
  readonly #changedMs = new Map<string, number>();
  #server: string | undefined;
  #readMs = 0;
  #checking: Promise<void> | undefined;
  #checkedMs = Number.NEGATIVE_INFINITY;
  #wake: (() => void) | undefined;
  #failures = 0;
  #healthy: boolean | undefined;
  #stopped = false;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.#endpoints = new Endpoints(options.connection);
    options.budget.join(this);
    this.#pipeline = new StatementPipeline({ database: `${options.name} (replica)`, owner: this, budget: options.budget, responseMsMax });
  }

  /** Whether it may be read from now for these keys. */
  isCurrentFor(keys: readonly string[]): boolean {
    const nowMs = performance.now();
    this.#readMs = nowMs;
    this.#checking ??= outsideTransaction(() => this.#keepChecking());
    const asOfMs = this.#asOfMs;
    if (nowMs - asOfMs > this.#options.lagMsMax || asOfMs <= this.#floorMs) return this.#hurry(nowMs);
    if (this.#changedMs.size > 0)
      for (const key of keys) if ((this.#changedMs.get(key) ?? Number.NEGATIVE_INFINITY) >= asOfMs) return this.#hurry(nowMs);
    return true;
  }

  changed(keys: readonly string[]): void {
    // While there are no checks, nothing would remove the keys.
    if (this.#checking === undefined || this.#changedMs.size + keys.length > keysMax) return this.changedAll();
    const nowMs = performance.now();
    for (const key of keys) this.#changedMs.set(key, nowMs);
  }

  /** Everything may have changed. */
  changedAll(): void {
    this.#changedMs.clear();
    this.#floorMs = performance.now();
  }

  /** Runs a statement; undefined when the replica cannot run it now. */
  async query(statement: Statement): Promise<WireQuery | undefined> {
    try {
      return await this.#pipeline.query(statement);
    } catch (error) {
      const refusal = refusalIn(error);
      if (refusal?.reason !== "DEPENDENCY_UNAVAILABLE" && refusal?.reason !== "OVERLOADED") throw error;
      // An error of the server itself (a conflict with what it replays, a limit) does not mean that it is unhealthy.
      if (refusal.reason === "DEPENDENCY_UNAVAILABLE" && !(refusal.cause instanceof StatementError)) this.#failed(error);
      return undefined;
    }
  }

  #failed(error: unknown): void {
    this.#asOfMs = Number.NEGATIVE_INFINITY;
    if (this.#healthy === false || this.#stopped) return;
    this.#healthy = false;
    this.#options.log.warn({ database: this.#options.name, error }, "the replica cannot be read from; reads go to the primary");
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake?.();
    await this.#checking;
    await this.#pipeline.stop();
    await this.#options.budget.leave(this);
  }

  start(): void {
    this.#options.budget.join(this);
    this.#stopped = false;
  }

  async open(): Promise<WireConnection> {
    const { name, statementTimeoutMs } = this.#options;
    try {
      return await this.#endpoints.connect(async (target) => {
        const wire = await WireConnection.open({ target, access: "read", applicationName: `kontor ${name} reads`, statementTimeoutMs });
        try {
          await this.#verify((await wire.query(compile(whichServer))).resultRows<Server>()[0]!);
        } catch (error) {
          wire.abort(new Error("The server is not the expected replica", { cause: error }));
          throw error;
        }
        return wire;
      });
    } catch (error) {
      throw databaseError(error, name);
    }
  }

  reclaim(which: Reclaimable): boolean {
    return this.#pipeline.reclaim(which);
  }

  tick(nowMs: number): void {
    this.#pipeline.tick(nowMs);
  }

  async #verify({ standby, identity, system }: Server): Promise<void> {
    if (!standby) throw new Error("The server is a primary, not a replica");
    if (identity !== this.#server && this.#pipeline.size > 0) throw new Error("The connection leads to another replica than those before");
    const primary = await this.#options.primary.one<Server>(whichServer);
    if (system !== primary.system) throw new Error("The server is a replica of another cluster");
    if (identity !== this.#server) this.#asOfMs = Number.NEGATIVE_INFINITY;
    this.#server = identity;
  }

  #hurry(nowMs: number): false {
    if (nowMs - this.#checkedMs > hurryMs && this.#healthy !== false) this.#wake?.();
    return false;
  }

  async #keepChecking(): Promise<void> {
    while (!this.#stopped && performance.now() - this.#readMs < idleMs) {
      this.#checkedMs = performance.now();
      const lsn = await this.#primaryLsn();
      if (lsn !== undefined)
        try {
          await this.#waitForReplay(lsn, this.#checkedMs);
        } catch (error) {
          this.#failed(error);
        }
      if (this.#stopped) break;
      this.#failures = this.#healthy === false ? this.#failures + 1 : 0;
      await this.#pause(backoffMs(checking, this.#failures + 1));
    }
    this.#checking = undefined;
  }

  /** The primary's position; undefined while it is unreachable, which is reported to those who need it. */
  async #primaryLsn(): Promise<string | undefined> {
    const [primary] = await Promise.allSettled([this.#options.primary.one<{ lsn: string }>(walPosition)]);
    return primary.status === "fulfilled" ? primary.value.lsn : undefined;
  }

  async #waitForReplay(lsn: string, sinceMs: number): Promise<void> {
    const { lagMsMax, name, log } = this.#options;
    const replayed = compile(sql`select coalesce(pg_last_wal_replay_lsn() >= ${lsn}::pg_lsn and pg_is_in_recovery(), false) as replayed`);
    while (!(await this.#pipeline.query(replayed)).resultRows<{ replayed: boolean }>()[0]!.replayed) {
      if (performance.now() - sinceMs > lagMsMax) throw new Error(`The replica is more than ${lagMsMax} ms behind`);
      if (this.#stopped) return;
      await sleep(pollMs);
    }
    this.#asOfMs = sinceMs;
    for (const [key, changedMs] of this.#changedMs) if (changedMs < sinceMs) this.#changedMs.delete(key);
    if (this.#healthy === false) log.info({ database: name }, "the replica can be read from again");
    this.#healthy = true;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms).unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
