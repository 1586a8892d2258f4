import type { Logger } from "../telemetry/logger.ts";
import type { ConnectionBudget } from "./connection-budget.ts";
import type { ConnectionOwner, Reclaimable } from "./fair-share.ts";
import type { Connection } from "./connection.ts";
import { sqlState } from "./database.ts";
import type { Database, Reads, Transaction, TransactionOptions } from "./database.ts";
import { forbidInTransaction } from "./in-transaction.ts";
import { Listener } from "./listener.ts";
import type { NotificationHandler } from "./listener.ts";
import { onlyRow } from "./only-row.ts";
import type { OpenTransaction } from "./open-transaction.ts";
import { StatementPipeline } from "./statement-pipeline.ts";
import { Endpoints } from "./endpoints.ts";
import { checkReadOnly } from "./check-read-only.ts";
import { Replica } from "./replica.ts";
import { compile, sql } from "./sql.ts";
import type { Sql } from "./sql.ts";
import { databaseError, unavailable } from "./statement-error.ts";
import { Transactions } from "./transactions.ts";
import { WireConnection } from "./wire-connection.ts";
import type { WireQuery } from "./wire-query.ts";

/** How long a statement, and a transaction as a whole, may take. */
export const timeoutMsMax = 5_000;

export interface PostgresOptions {
  /** The service whose database it is: in messages, and as the application's name in PostgreSQL. */
  readonly name: string;
  readonly connection: Connection;
  /** A replica of it, for `reads`. */
  readonly replica?: Connection;
  /** How old a replica's result may be: 1,000 by default. Also how long `changed` matters to another process. */
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
  /** A transaction without time limits, in the background pool: for migrations, before the service runs. */
  maintenance<T>(work: (tx: Maintenance) => Promise<T>): Promise<T>;
  figures(): DatabaseFigures;
}

export interface DatabaseFigures {
  /** Transactions that are open. */
  readonly transactions: number;
  /** Single statements sent whose results are outstanding. */
  readonly statements: number;
}

/** A service's database over the process's budget of connections. Opens none yet. */
export function openDatabase(options: PostgresOptions): PostgresDatabase {
  return new Postgres(options);
}

class Postgres implements PostgresDatabase, ConnectionOwner {
  readonly name: string;
  readonly replicaLagMs: number;
  readonly #options: PostgresOptions;
  readonly #endpoints: Endpoints;
  readonly #pipeline: StatementPipeline;
  readonly #replica: Replica | undefined;
  readonly #ownReads: Reads;
  readonly #replicaReads: Reads;
  readonly #listener: Listener;
  readonly #transactions: Transactions;
  #stopping: Promise<void> | undefined;
  #unreachable = false;
  /** Attempts to connect, and the last of them that succeeded. */
  #attempts = 0;
  #succeeded = 0;

  constructor(options: PostgresOptions) {
    const { name, connection, replica, replicaLagMs = 1_000, budget, log } = options;
    this.name = name;
    this.replicaLagMs = replica === undefined ? 0 : replicaLagMs;
    this.#options = options;
    this.#endpoints = new Endpoints(connection);
    this.#replica =
      replica &&
      new Replica({ name, connection: replica, budget, log, primary: this, statementTimeoutMs: timeoutMsMax, lagMsMax: replicaLagMs });
    // By the database's own methods, so that whoever counts or replaces those sees these reads too.
    this.#ownReads = {
      rows: async (query) => this.rows(checkReadOnly(query)),
      maybe: async (query) => this.maybe(checkReadOnly(query)),
      one: async (query) => this.one(checkReadOnly(query)),
    };
    this.#replicaReads = readsBy((query) => this.#onReplica(query));
    this.#pipeline = new StatementPipeline({ database: name, owner: this, budget, responseMsMax: timeoutMsMax + 2_000 });
    this.#transactions = new Transactions({ database: name, owner: this, budget, log, check: () => this.#check() });
    budget.join(this);
    this.#listener = new Listener({ database: name, open: () => this.#pipeline.shareForListening(), log });
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
    return (await this.#single(query)).resultRows<Row>();
  }

  async maybe<Row extends object>(query: Sql): Promise<Row | undefined> {
    return onlyRow((await this.#single(query)).resultRows<Row>(), query);
  }

  async one<Row extends object>(query: Sql): Promise<Row> {
    return onlyRow((await this.#single(query)).resultRows<Row>(), query, true);
  }

  async run(query: Sql): Promise<number> {
    return (await this.#single(query)).rowCount();
  }

  reads(...keys: readonly string[]): Reads {
    this.#check();
    return this.#replica?.isCurrentFor(keys) === true ? this.#replicaReads : this.#ownReads;
  }

  changed(...keys: readonly string[]): void {
    this.#replica?.changed(keys);
  }

  async transaction<T>(
    work: (tx: Transaction) => Promise<T>,
    { pool = "requests", timeoutMs = timeoutMsMax }: TransactionOptions = {},
  ): Promise<T> {
    if (!(timeoutMs > 0 && timeoutMs <= timeoutMsMax))
      throw new RangeError(`A transaction takes between 1 and ${timeoutMsMax} ms, not ${timeoutMs}`);
    return this.#transactions.run(work, pool, timeoutMs);
  }

  async maintenance<T>(work: (tx: Maintenance) => Promise<T>): Promise<T> {
    const unlimited = async (tx: OpenTransaction) => {
      await tx.script("set local statement_timeout = 0; set local lock_timeout = 0; set local idle_in_transaction_session_timeout = 0");
      tx.afterCommit(() => this.#replica?.changedAll());
      return work(tx);
    };
    return this.#transactions.run(unlimited, "background", Infinity);
  }

  async listen(channel: string, notified: NotificationHandler): Promise<() => Promise<void>> {
    this.#check();
    return this.#listener.listen(channel, notified);
  }

  async notify(channel: string, payload = ""): Promise<void> {
    forbidInTransaction(`a notification of ${this.name}`);
    await this.run(sql`select pg_notify(${channel}, ${payload})`);
  }

  figures(): DatabaseFigures {
    return { transactions: this.#transactions.size, statements: this.#pipeline.inFlight };
  }

  async open(): Promise<WireConnection> {
    const { name, connection, log } = this.#options;
    const attempt = ++this.#attempts;
    try {
      const wire = await this.#endpoints.connect((target) =>
        WireConnection.open({ target, access: "write", applicationName: `kontor ${name}`, statementTimeoutMs: timeoutMsMax }),
      );
      this.#succeeded = Math.max(this.#succeeded, attempt);
      if (this.#unreachable) log.info({ database: name }, "the database is reachable again");
      this.#unreachable = false;
      return wire;
    } catch (error) {
      // One line for an outage, whatever attempts were under way when it ended.
      if (!this.#unreachable && attempt > this.#succeeded) {
        this.#unreachable = true;
        if (this.#stopping === undefined) log.warn({ database: name, error }, "the database cannot be reached");
      }
      // A password that is read for each connection may be in the middle of a rotation.
      const passing = sqlState(error) === "28P01" && typeof connection.password !== "string";
      throw passing ? unavailable(name, error) : databaseError(error, name);
    }
  }

  reclaim(which: Reclaimable): boolean {
    return this.#pipeline.reclaim(which);
  }

  tick(nowMs: number): void {
    this.#pipeline.tick(nowMs);
    this.#listener.tick(nowMs);
    this.#transactions.expire(nowMs);
  }

  /** What the replica cannot serve now the primary serves: reading twice changes nothing. */
  async #onReplica(query: Sql): Promise<WireQuery> {
    const statement = compile(query);
    return (await this.#replica!.query(statement)) ?? this.#pipeline.query(statement);
  }

  #single(query: Sql) {
    this.#check();
    return this.#pipeline.query(compile(query));
  }

  #check(): void {
    if (this.#stopping !== undefined) throw unavailable(this.name, new Error("This process is stopping"));
  }

  async #stop(): Promise<void> {
    await this.#transactions.drained();
    await Promise.all([this.#listener.stop(), this.#replica?.stop(), this.#pipeline.stop()]);
    await this.#options.budget.leave(this);
  }
}

function readsBy(run: (query: Sql) => Promise<WireQuery>): Reads {
  return {
    rows: async <Row extends object>(query: Sql) => (await run(checkReadOnly(query))).resultRows<Row>(),
    maybe: async <Row extends object>(query: Sql) => onlyRow((await run(checkReadOnly(query))).resultRows<Row>(), query),
    one: async <Row extends object>(query: Sql) => onlyRow((await run(checkReadOnly(query))).resultRows<Row>(), query, true),
  };
}
