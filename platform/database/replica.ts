import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "../telemetry/logger.ts";
import { backoffMs } from "../retry/backoff.ts";
import type { ConnectionBudget } from "./budget.ts";
import type { Holder, Spare } from "./lane.ts";
import type { Connection } from "./connection.ts";
import type { Queries } from "./database.ts";
import { outsideTransaction } from "./in-transaction.ts";
import { Pipe } from "./pipe.ts";
import { Reach } from "./reach.ts";
import { compile, sql } from "./sql.ts";
import { databaseError } from "./statement-error.ts";
import { Wire } from "./wire.ts";

export interface ReplicaOptions {
  readonly name: string;
  readonly connection: Connection;
  readonly budget: ConnectionBudget;
  readonly log: Logger;
  readonly primary: Queries;
  readonly statementTimeoutMs: number;
  /** An answer may be this old. */
  readonly lagMsMax: number;
}

/** How often it is asked how far it has come, while it is read from; sooner when somebody waits for a change. */
const lookMs = 200;
const hurryMs = 20;
/** While it is behind. */
const againMs = 10;
const idleMs = 10_000;
const looking = { pauseMsMin: lookMs, pauseMsMax: 5_000 };
/** A statement that takes longer here is put to the primary. */
const silenceMsMax = 1_000;
/** Keys whose change it may not have yet; past this many, all reads wait for the next look. */
const keysMax = 10_000;

interface Server {
  readonly standby: boolean;
  /** Says which server it is, since when it runs. */
  readonly identity: string;
  /** Of all servers of one cluster the same. */
  readonly system: string;
}

const whichServer = sql`select pg_is_in_recovery() as standby, system_identifier::text as system,
  pg_postmaster_start_time()::text || ' ' || coalesce(inet_server_addr()::text, '') || ' ' || coalesce(inet_server_port(), 0) as identity
  from pg_control_system()`;
/** All that is committed so far is before it, as a standby gets it: what is not flushed is not sent. */
const writtenUntil = sql`select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_flush_lsn() end)::text as place`;

/**
 * A database's replica, as far as this process knows it. What it has replayed is compared with what the primary had written at a moment
 * before: from then on it shows all that was committed until that moment. All its connections go to one server, because others may be
 * further behind.
 */
export class Replica implements Holder {
  readonly pipe: Pipe;
  readonly #options: ReplicaOptions;
  readonly #reach: Reach;
  /** On the monotonic clock: all that was committed before is there. */
  #asOfMs = Number.NEGATIVE_INFINITY;
  /** What was committed until then, under whatever key, must be there: migrations are, when this is made. */
  #floorMs = performance.now();
  readonly #changedMs = new Map<string, number>();
  #server: string | undefined;
  #readMs = 0;
  #looking: Promise<void> | undefined;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #wake: (() => void) | undefined;
  #failures = 0;
  #well: boolean | undefined;
  #stopped = false;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.#reach = new Reach(options.connection);
    options.budget.join(this);
    this.pipe = new Pipe({ database: `${options.name} (replica)`, holder: this, budget: options.budget, silenceMsMax });
  }

  /** Whether it may answer now for these keys. */
  answers(keys: readonly string[]): boolean {
    const nowMs = performance.now();
    this.#readMs = nowMs;
    this.#looking ??= outsideTransaction(() => this.#keepLooking());
    const asOfMs = this.#asOfMs;
    if (nowMs - asOfMs > this.#options.lagMsMax || asOfMs <= this.#floorMs) return this.#hurry(nowMs);
    if (this.#changedMs.size > 0)
      for (const key of keys) if ((this.#changedMs.get(key) ?? Number.NEGATIVE_INFINITY) >= asOfMs) return this.#hurry(nowMs);
    return true;
  }

  changed(keys: readonly string[]): void {
    // While nobody looks, nothing would take the keys out again.
    if (this.#looking === undefined || this.#changedMs.size + keys.length > keysMax) return this.changedAll();
    const nowMs = performance.now();
    for (const key of keys) this.#changedMs.set(key, nowMs);
  }

  /** Everything may have changed. */
  changedAll(): void {
    this.#changedMs.clear();
    this.#floorMs = performance.now();
  }

  /** A statement failed on it as it would not have on a server that is well. */
  lost(error: unknown): void {
    this.#asOfMs = Number.NEGATIVE_INFINITY;
    if (this.#well === false || this.#stopped) return;
    this.#well = false;
    this.#options.log.warn({ database: this.#options.name, error }, "the replica cannot be read from; the primary answers");
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake?.();
    await this.#looking;
    await this.pipe.stop();
    await this.#options.budget.release(this);
  }

  start(): void {
    this.#options.budget.join(this);
    this.#stopped = false;
  }

  async open(): Promise<Wire> {
    const { name, statementTimeoutMs } = this.#options;
    try {
      return await this.#reach.open(async (target) => {
        const wire = await Wire.open({ target, access: "read", applicationName: `kontor ${name} reads`, statementTimeoutMs });
        try {
          await this.#recognise((await wire.query(compile(whichServer))).found<Server>()[0]!);
        } catch (error) {
          wire.abort(new Error("It is not the replica", { cause: error }));
          throw error;
        }
        return wire;
      });
    } catch (error) {
      throw databaseError(error, name);
    }
  }

  spare(which: Spare): boolean {
    return this.pipe.spare(which);
  }

  tick(nowMs: number): void {
    this.pipe.tick(nowMs);
  }

  async #recognise({ standby, identity, system }: Server): Promise<void> {
    if (!standby) throw new Error("The server is a primary, not a replica");
    if (identity !== this.#server && this.pipe.size > 0) throw new Error("The connection came to another replica than those before");
    const primary = await this.#options.primary.one<Server>(whichServer);
    if (system !== primary.system) throw new Error("The server is a replica of another cluster");
    if (identity !== this.#server) this.#asOfMs = Number.NEGATIVE_INFINITY;
    this.#server = identity;
  }

  #hurry(nowMs: number): false {
    if (nowMs - this.#lookedMs > hurryMs && this.#well !== false) this.#wake?.();
    return false;
  }

  async #keepLooking(): Promise<void> {
    while (!this.#stopped && performance.now() - this.#readMs < idleMs) {
      this.#lookedMs = performance.now();
      const place = await this.#writtenUntil();
      if (place !== undefined)
        try {
          await this.#waitFor(place, this.#lookedMs);
        } catch (error) {
          this.lost(error);
        }
      if (this.#stopped) break;
      this.#failures = this.#well === false ? this.#failures + 1 : 0;
      await this.#pause(backoffMs(looking, this.#failures + 1));
    }
    this.#looking = undefined;
  }

  /** Undefined when the primary does not tell: that it is away is told by those who need it. */
  async #writtenUntil(): Promise<string | undefined> {
    const [told] = await Promise.allSettled([this.#options.primary.one<{ place: string }>(writtenUntil)]);
    return told.status === "fulfilled" ? told.value.place : undefined;
  }

  async #waitFor(place: string, sinceMs: number): Promise<void> {
    const { lagMsMax, name, log } = this.#options;
    const reached = compile(sql`select coalesce(pg_last_wal_replay_lsn() >= ${place}::pg_lsn and pg_is_in_recovery(), false) as reached`);
    while (!(await this.pipe.query(reached)).found<{ reached: boolean }>()[0]!.reached) {
      if (performance.now() - sinceMs > lagMsMax) throw new Error(`It is more than ${lagMsMax} ms behind`);
      if (this.#stopped) return;
      await sleep(againMs);
    }
    this.#asOfMs = sinceMs;
    for (const [key, changedMs] of this.#changedMs) if (changedMs < sinceMs) this.#changedMs.delete(key);
    if (this.#well === false) log.info({ database: name }, "the replica is well again");
    this.#well = true;
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
