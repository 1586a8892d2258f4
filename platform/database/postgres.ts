import { refusalIn } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { ConnectionBudget } from "./budget.ts";
import type { Holder, Seat, Spare } from "./lane.ts";
import type { Connection } from "./connection.ts";
import { sqlState } from "./database.ts";
import type { Database, Lane, Reads, Transaction, TransactionOptions } from "./database.ts";
import { forbidInTransaction, insideTransaction } from "./in-transaction.ts";
import { Listener } from "./listener.ts";
import type { Ear, Heard } from "./listener.ts";
import { onlyRow } from "./only-row.ts";
import { OpenTransaction } from "./open-transaction.ts";
import { Pipe } from "./pipe.ts";
import { Reach } from "./reach.ts";
import { onlyLooking } from "./only-looking.ts";
import { Replica } from "./replica.ts";
import { compile, sql } from "./sql.ts";
import type { Sql, Statement } from "./sql.ts";
import { databaseError, StatementError, unavailable } from "./statement-error.ts";
import { Wire } from "./wire.ts";
import type { WireQuery } from "./wire-query.ts";

/** How long a statement, and a transaction as a whole, may take. */
export const timeoutMsMax = 5_000;

export interface PostgresOptions {
  /** The service whose database it is: in messages, and as the application's name in PostgreSQL. */
  readonly name: string;
  readonly connection: Connection;
  /** A replica of it, for `reads`. */
  readonly replica?: Connection;
  /** How old a replica's answer may be: 1,000 by default. Also how long `changed` matters to another process. */
  readonly replicaLagMs?: number;
  readonly budget: ConnectionBudget;
  readonly log: Logger;
}

/** A transaction in which whole scripts run. */
export interface Maintenance extends Transaction {
  /** Runs any number of statements without parameters: a migration. */
  script(text: string): Promise<void>;
}

/** PostgreSQL as a service's database. Works from the first statement on; `start` only makes sure that there is one. */
export interface PostgresDatabase extends Database {
  /** Connects. Refuses when the database cannot be reached. */
  start(): Promise<void>;
  /** Takes no more work, waits for what is under way (five seconds at most, maintenance longer), closes its connections. */
  stop(): Promise<void>;
  /** A transaction without limits of time, in the background lane: for migrations, before the service runs. */
  maintenance<T>(work: (tx: Maintenance) => Promise<T>): Promise<T>;
  figures(): DatabaseFigures;
}

export interface DatabaseFigures {
  /** Transactions that are open. */
  readonly transactions: number;
  /** Single statements sent and not answered. */
  readonly statements: number;
}

/** A service's database over the process's budget of connections. Opens none yet. */
export function openDatabase(options: PostgresOptions): PostgresDatabase {
  return new Postgres(options);
}

class Postgres implements PostgresDatabase, Holder {
  readonly name: string;
  readonly replicaLagMs: number;
  readonly #options: PostgresOptions;
  readonly #reach: Reach;
  readonly #pipe: Pipe;
  readonly #replica: Replica | undefined;
  readonly #ownReads: Reads;
  readonly #replicaReads: Reads;
  readonly #listener: Listener;
  readonly #open = new Set<OpenTransaction>();
  #stopping: Promise<void> | undefined;
  #idle: (() => void) | undefined;
  #away = false;
  /** Connections begun, and the last of them that came to be. */
  #openings = 0;
  #opened = 0;

  constructor(options: PostgresOptions) {
    const { name, connection, replica, replicaLagMs = 1_000, budget, log } = options;
    this.name = name;
    this.replicaLagMs = replica === undefined ? 0 : replicaLagMs;
    this.#options = options;
    this.#reach = new Reach(connection);
    this.#replica =
      replica &&
      new Replica({ name, connection: replica, budget, log, primary: this, statementTimeoutMs: timeoutMsMax, lagMsMax: replicaLagMs });
    this.#ownReads = {
      rows: async (query) => this.rows(onlyLooking(query)),
      maybe: async (query) => this.maybe(onlyLooking(query)),
      one: async (query) => this.one(onlyLooking(query)),
    };
    const onReplica = (query: Sql): Promise<WireQuery> => this.#replicaQuery(compile(onlyLooking(query)));
    this.#replicaReads = {
      rows: async <Row extends object>(query: Sql) => (await onReplica(query)).found<Row>(),
      maybe: async <Row extends object>(query: Sql) => onlyRow((await onReplica(query)).found<Row>(), query),
      one: async <Row extends object>(query: Sql) => onlyRow((await onReplica(query)).found<Row>(), query, true),
    };
    this.#pipe = new Pipe({ database: name, holder: this, budget, silenceMsMax: timeoutMsMax + 2_000 });
    budget.join(this);
    this.#listener = new Listener({ database: name, open: () => this.#ear(), log });
  }

  async start(): Promise<void> {
    await this.#stopping;
    this.#stopping = undefined;
    this.#options.budget.join(this);
    this.#replica?.start();
    await this.run(sql`select`);
  }

  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  async rows<Row extends object>(query: Sql): Promise<Row[]> {
    return (await this.#single(query)).found<Row>();
  }

  async maybe<Row extends object>(query: Sql): Promise<Row | undefined> {
    return onlyRow((await this.#single(query)).found<Row>(), query);
  }

  async one<Row extends object>(query: Sql): Promise<Row> {
    return onlyRow((await this.#single(query)).found<Row>(), query, true);
  }

  async run(query: Sql): Promise<number> {
    return (await this.#single(query)).touched();
  }

  reads(...keys: readonly string[]): Reads {
    this.#check();
    return this.#replica?.answers(keys) === true ? this.#replicaReads : this.#ownReads;
  }

  changed(...keys: readonly string[]): void {
    this.#replica?.changed(keys);
  }

  async transaction<T>(
    work: (tx: Transaction) => Promise<T>,
    { lane = "requests", timeoutMs = timeoutMsMax }: TransactionOptions = {},
  ): Promise<T> {
    if (!(timeoutMs > 0 && timeoutMs <= timeoutMsMax))
      throw new RangeError(`A transaction takes between 1 and ${timeoutMsMax} ms, not ${timeoutMs}`);
    return this.#transaction(work, lane, timeoutMs);
  }

  async maintenance<T>(work: (tx: Maintenance) => Promise<T>): Promise<T> {
    const unlimited = async (tx: OpenTransaction) => {
      await tx.script("set local statement_timeout = 0; set local lock_timeout = 0; set local idle_in_transaction_session_timeout = 0");
      tx.afterCommit(() => this.#replica?.changedAll());
      return work(tx);
    };
    return this.#transaction(unlimited, "background", Infinity);
  }

  async listen(channel: string, heard: Heard): Promise<() => Promise<void>> {
    this.#check();
    return this.#listener.listen(channel, heard);
  }

  async notify(channel: string, payload = ""): Promise<void> {
    forbidInTransaction(`a notification of ${this.name}`);
    await this.run(sql`select pg_notify(${channel}, ${payload})`);
  }

  figures(): DatabaseFigures {
    return { transactions: this.#open.size, statements: this.#pipe.inFlight };
  }

  async open(): Promise<Wire> {
    const { name, connection, log } = this.#options;
    const opening = ++this.#openings;
    try {
      const wire = await this.#reach.open((target) =>
        Wire.open({ target, access: "write", applicationName: `kontor ${name}`, statementTimeoutMs: timeoutMsMax }),
      );
      this.#opened = Math.max(this.#opened, opening);
      if (this.#away) log.info({ database: name }, "the database is back");
      this.#away = false;
      return wire;
    } catch (error) {
      // One line for an outage, whatever was under way when it ended.
      if (!this.#away && opening > this.#opened) {
        this.#away = true;
        if (this.#stopping === undefined) log.warn({ database: name, error }, "the database cannot be reached");
      }
      // A password that is asked for may be replaced just now.
      const passing = sqlState(error) === "28P01" && typeof connection.password !== "string";
      throw passing ? unavailable(name, error) : databaseError(error, name);
    }
  }

  spare(which: Spare): boolean {
    return this.#pipe.spare(which);
  }

  tick(nowMs: number): void {
    this.#pipe.tick(nowMs);
    for (const transaction of this.#open) transaction.expire(nowMs);
  }

  /** A connection of its own is not kept waiting by statements; where there are few, one must do for both. */
  async #ear(): Promise<Ear> {
    const { budget } = this.#options;
    if (!budget.isAmple) return this.#pipe.hold();
    const seat = await budget.take(this, "requests", true);
    let ended: Promise<void> | undefined;
    const end = (): Promise<void> => {
      budget.give(seat, true);
      return seat.wire.closed;
    };
    return { wire: seat.wire, end: () => (ended ??= end()) };
  }

  /** What a replica cannot answer now the primary does: to look twice changes nothing. */
  async #replicaQuery(statement: Statement): Promise<WireQuery> {
    try {
      return await this.#replica!.pipe.query(statement);
    } catch (error) {
      const refusal = refusalIn(error);
      if (refusal?.reason !== "DEPENDENCY_UNAVAILABLE" && refusal?.reason !== "OVERLOADED") throw error;
      // What the server itself says (a conflict with what it replays, a limit) does not speak against it.
      if (refusal.reason === "DEPENDENCY_UNAVAILABLE" && !(refusal.cause instanceof StatementError)) this.#replica!.lost(error);
      return this.#pipe.query(statement);
    }
  }

  #single(query: Sql) {
    this.#check();
    return this.#pipe.query(compile(query));
  }

  async #transaction<T>(work: (tx: OpenTransaction) => Promise<T>, lane: Lane, timeoutMs: number): Promise<T> {
    forbidInTransaction(`a transaction of ${this.name}`);
    this.#check();
    const { budget } = this.#options;
    const seat = await budget.take(this, lane);
    if (this.#stopping !== undefined) {
      budget.give(seat, true);
      this.#check();
    }
    const transaction = new OpenTransaction(this.name, seat.wire, timeoutMs);
    this.#open.add(transaction);
    let result: T;
    try {
      result = await transaction.during(() => insideTransaction(this.name, async () => work(transaction)));
      await transaction.commit();
    } catch (error) {
      await transaction.rollback();
      throw error;
    } finally {
      this.#end(transaction, seat);
    }
    for (const hook of transaction.hooks()) this.#run(hook);
    return result;
  }

  #end(transaction: OpenTransaction, seat: Seat): void {
    this.#open.delete(transaction);
    if (!seat.wire.atRest) seat.wire.abort(new Error("The transaction did not end"));
    this.#options.budget.give(seat);
    if (this.#open.size === 0) this.#idle?.();
  }

  #run(hook: () => void): void {
    try {
      hook();
    } catch (error) {
      // It has committed; its caller must not be told otherwise.
      this.#options.log.error({ database: this.name, error }, "what was to follow a commit failed");
    }
  }

  #check(): void {
    if (this.#stopping !== undefined) throw unavailable(this.name, new Error("This process is stopping"));
  }

  async #stop(): Promise<void> {
    if (this.#open.size > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
    this.#idle = undefined;
    await Promise.all([this.#listener.stop(), this.#replica?.stop(), this.#pipe.stop()]);
    await this.#options.budget.release(this);
  }
}
