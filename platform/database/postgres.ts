import type { Logger } from "../telemetry/logger.ts";
import type { ConnectionBudget, Holder, Seat } from "./budget.ts";
import type { Connection } from "./connection.ts";
import type { Database, Lane, Transaction, TransactionOptions } from "./database.ts";
import { forbidInTransaction, insideTransaction } from "./in-transaction.ts";
import { Listener } from "./listener.ts";
import type { Heard } from "./listener.ts";
import { onlyRow } from "./only-row.ts";
import { OpenTransaction } from "./open-transaction.ts";
import { Pipe } from "./pipe.ts";
import { compile, sql } from "./sql.ts";
import type { Sql } from "./sql.ts";
import { databaseError, unavailable } from "./statement-error.ts";
import { Wire } from "./wire.ts";

/** How long a statement, and a transaction as a whole, may take. */
export const timeoutMsMax = 5_000;

export interface PostgresOptions {
  /** The service whose database it is: in messages, and as the application's name in PostgreSQL. */
  readonly name: string;
  readonly connection: Connection;
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
  readonly #options: PostgresOptions;
  readonly #pipe: Pipe;
  readonly #listener: Listener;
  readonly #open = new Set<OpenTransaction>();
  #stopping: Promise<void> | undefined;
  #idle: (() => void) | undefined;

  constructor(options: PostgresOptions) {
    const { name, budget, log } = options;
    this.name = name;
    this.#options = options;
    this.#pipe = new Pipe({ database: name, holder: this, budget, silenceMsMax: timeoutMsMax + 2_000 });
    this.#listener = new Listener({ database: name, holder: this, budget, log });
  }

  async start(): Promise<void> {
    await this.#stopping;
    this.#stopping = undefined;
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
      await tx.script("set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0");
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
    const { name, connection } = this.#options;
    try {
      return await Wire.open({ connection, applicationName: `kontor ${name}`, statementTimeoutMs: timeoutMsMax });
    } catch (error) {
      throw databaseError(error, name);
    }
  }

  spare(): boolean {
    return this.#pipe.spare();
  }

  tick(nowMs: number): void {
    this.#pipe.tick(nowMs);
    for (const transaction of this.#open) transaction.expire(nowMs);
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
    await Promise.all([this.#listener.stop(), this.#pipe.stop()]);
    await this.#options.budget.release(this);
  }
}
