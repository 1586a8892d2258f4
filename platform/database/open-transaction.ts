import { performance } from "node:perf_hooks";
import type { Transaction } from "./database.ts";
import { onlyRow } from "./only-row.ts";
import { compile } from "./sql.ts";
import type { Sql, Statement } from "./sql.ts";
import { databaseError, planIsStale, serverIsReadOnly, unavailable } from "./statement-error.ts";
import type { WireQuery } from "./wire-query.ts";
import { beginStatement } from "./wire-query.ts";
import type { WireConnection } from "./wire-connection.ts";

/** A transaction while it is open. `begin` goes out with the first statement; one that runs none costs nothing. */
export class OpenTransaction implements Transaction {
  readonly #database: string;
  readonly #wire: WireConnection;
  readonly #deadlineMs: number;
  #state: "unused" | "begun" | "ended" = "unused";
  #savepoints = 0;
  /** The first statement that failed: after it only a rollback helps, unless it was inside a savepoint. */
  #failed: Error | undefined;
  #expired: Error | undefined;
  #reject: ((error: Error) => void) | undefined;
  #hooks: (() => void)[] | undefined;
  #last: Sql | undefined;

  constructor(database: string, wire: WireConnection, timeoutMs: number) {
    this.#database = database;
    this.#wire = wire;
    this.#deadlineMs = performance.now() + timeoutMs;
  }

  async rows<Row extends object>(query: Sql): Promise<Row[]> {
    return (await this.#query(query)).resultRows<Row>();
  }

  async maybe<Row extends object>(query: Sql): Promise<Row | undefined> {
    return onlyRow((await this.#query(query)).resultRows<Row>(), query);
  }

  async one<Row extends object>(query: Sql): Promise<Row> {
    return onlyRow((await this.#query(query)).resultRows<Row>(), query, true);
  }

  async run(query: Sql): Promise<number> {
    return (await this.#query(query)).rowCount();
  }

  /** Runs a script: any number of statements without parameters. */
  async script(text: string): Promise<void> {
    await this.#send(() => this.#wire.script(this.#state === "unused" ? `${beginStatement.text}; ${text}` : text), text);
  }

  last(query: Sql): void {
    this.#check();
    if (this.#savepoints > 0) throw new Error("The last statement of a transaction is in none of its savepoints");
    this.#last = query;
  }

  afterCommit(hook: () => void): void {
    this.#check();
    (this.#hooks ??= []).push(hook);
  }

  async savepoint<T>(work: () => Promise<T>): Promise<T> {
    const depth = ++this.#savepoints;
    const failedBefore = this.#failed;
    // Not awaited: it is sent before the work's statements, and they fail when it does.
    const set = this.script(`savepoint s${depth}`).then(undefined, (error: unknown) => error);
    try {
      const result = await work();
      if (this.#savepoints !== depth) throw new Error("Savepoints end in the order opposite to that in which they began");
      await this.script(`release savepoint s${depth}`);
      return result;
    } catch (error) {
      if ((await set) === undefined && (await this.#rollBackTo(depth))) this.#failed = failedBefore;
      throw error;
    } finally {
      this.#savepoints = depth - 1;
    }
  }

  /** Returns what `work` returns, or rejects at the deadline, without waiting for the work any longer. */
  during<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      work().then(resolve, reject);
    });
  }

  /** Ends a transaction whose time is over: its statement is cancelled, its connection aborted. */
  expire(nowMs: number): void {
    if (nowMs < this.#deadlineMs || this.#expired !== undefined) return;
    this.#expired = unavailable(this.#database, new Error("The transaction took longer than its time limit"));
    this.#wire.abort(this.#expired);
    this.#reject?.(this.#expired);
  }

  async commit(): Promise<void> {
    const begun = this.#state === "begun";
    if (!begun) this.#check();
    const last = this.#last === undefined || this.#isFailed ? undefined : this.#run(compile(this.#last), false);
    // It has a value that cannot be sent: a commit would commit the rest.
    if (last !== undefined && this.#isFailed) await last;
    this.#state = "ended";
    if (begun) await this.#commit(last);
    else await last;
  }

  /** Sends the commit behind the last statement, which is on its way. */
  async #commit(last: Promise<WireQuery> | undefined): Promise<void> {
    const [written, committed] = await Promise.allSettled([last, this.#wire.script("commit")]);
    if (written.status === "rejected") throw this.#failed ?? written.reason;
    if (committed.status === "rejected") throw this.#expired ?? databaseError(committed.reason, this.#database, "commit");
    // PostgreSQL rolls a failed transaction back at its commit, and reports that as a success.
    if (committed.value.tag !== "COMMIT") throw this.#failed ?? new Error("The transaction was rolled back: a statement in it had failed");
  }

  /** Rolls back what has begun. Never rejects: a connection on which that fails is aborted. */
  async rollback(): Promise<void> {
    const begun = this.#state === "begun";
    this.#state = "ended";
    if (!begun || !this.#wire.usable) return;
    try {
      await this.#wire.script("rollback");
    } catch (error) {
      this.#wire.abort(new Error("The rollback failed", { cause: error }));
    }
  }

  /** What is to run after the commit. */
  hooks(): readonly (() => void)[] {
    return this.#hooks ?? [];
  }

  /** Whether it could roll back to the savepoint; if not, the transaction is lost, and its next statement or its commit fails. */
  async #rollBackTo(depth: number): Promise<boolean> {
    try {
      await this.script(`rollback to savepoint s${depth}; release savepoint s${depth}`);
      return true;
    } catch {
      return false; // the error that led here is reported
    }
  }

  get #isFailed(): boolean {
    return this.#failed !== undefined;
  }

  #query(query: Sql): Promise<WireQuery> {
    if (this.#last !== undefined) throw new Error(`A statement comes after the last one of a transaction of ${this.#database}`);
    return this.#run(compile(query), this.#state === "unused");
  }

  #run(statement: Statement, begin: boolean): Promise<WireQuery> {
    return this.#send(() => this.#wire.query(statement, begin), statement.text);
  }

  async #send(send: () => Promise<WireQuery>, text: string): Promise<WireQuery> {
    this.#check();
    try {
      const result = send();
      // Only now: when a value cannot be sent, `begin` has not been sent either.
      this.#state = "begun";
      return await result;
    } catch (error) {
      const explained = this.#expired ?? databaseError(error, this.#database, text);
      if (planIsStale(error) || serverIsReadOnly(error)) this.#wire.abort(explained);
      this.#failed ??= explained;
      throw explained;
    }
  }

  #check(): void {
    if (this.#expired !== undefined) throw this.#expired;
    if (this.#state === "ended") throw new Error(`A transaction of ${this.#database} has ended; nothing more runs in it`);
  }
}
