import { performance } from "node:perf_hooks";
import type { Transaction } from "./database.ts";
import { onlyRow } from "./only-row.ts";
import { compile } from "./sql.ts";
import type { Sql } from "./sql.ts";
import { databaseError, planIsStale, serverIsReadOnly, unavailable } from "./statement-error.ts";
import type { WireQuery } from "./wire-query.ts";
import { beginStatement } from "./wire-query.ts";
import type { Wire } from "./wire.ts";

/** A transaction while it is open. `begin` goes out with the first statement; one that runs none costs nothing. */
export class OpenTransaction implements Transaction {
  readonly #database: string;
  readonly #wire: Wire;
  readonly #deadlineMs: number;
  #state: "untouched" | "begun" | "over" = "untouched";
  #savepoints = 0;
  /** The first statement that failed: after it only a rollback helps, unless it was inside a savepoint. */
  #failed: Error | undefined;
  #expired: Error | undefined;
  #giveUp: ((error: Error) => void) | undefined;
  #hooks: (() => void)[] | undefined;

  constructor(database: string, wire: Wire, timeoutMs: number) {
    this.#database = database;
    this.#wire = wire;
    this.#deadlineMs = performance.now() + timeoutMs;
  }

  async rows<Row extends object>(query: Sql): Promise<Row[]> {
    return (await this.#query(query)).found<Row>();
  }

  async maybe<Row extends object>(query: Sql): Promise<Row | undefined> {
    return onlyRow((await this.#query(query)).found<Row>(), query);
  }

  async one<Row extends object>(query: Sql): Promise<Row> {
    return onlyRow((await this.#query(query)).found<Row>(), query, true);
  }

  async run(query: Sql): Promise<number> {
    return (await this.#query(query)).touched();
  }

  /** Runs a script: any number of statements without parameters. */
  async script(text: string): Promise<void> {
    await this.#send(() => this.#wire.script(this.#state === "untouched" ? `${beginStatement.text}; ${text}` : text), text);
  }

  afterCommit(hook: () => void): void {
    this.#check();
    (this.#hooks ??= []).push(hook);
  }

  async savepoint<T>(work: () => Promise<T>): Promise<T> {
    const depth = ++this.#savepoints;
    const failedBefore = this.#failed;
    // Not awaited: it is ahead of the work's statements on the wire, and they would fail after it.
    const set = this.script(`savepoint s${depth}`).then(undefined, (error: unknown) => error);
    try {
      const result = await work();
      if (this.#savepoints !== depth) throw new Error("Savepoints end in the order opposite to that in which they began");
      await this.script(`release savepoint s${depth}`);
      return result;
    } catch (error) {
      if ((await set) === undefined && (await this.#undo(depth))) this.#failed = failedBefore;
      throw error;
    } finally {
      this.#savepoints = depth - 1;
    }
  }

  /** Gives what `work` gives, or rejects at the deadline without waiting for it. */
  during<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#giveUp = reject;
      work().then(resolve, reject);
    });
  }

  /** Ends a transaction whose time is up: its statement is stopped, its connection thrown away. */
  expire(nowMs: number): void {
    if (nowMs < this.#deadlineMs || this.#expired !== undefined) return;
    this.#expired = unavailable(this.#database, new Error("The transaction took longer than it may"));
    this.#wire.abort(this.#expired);
    this.#giveUp?.(this.#expired);
  }

  async commit(): Promise<void> {
    const begun = this.#state === "begun";
    if (!begun) this.#check();
    this.#state = "over";
    if (!begun) return;
    let tag: string;
    try {
      tag = (await this.#wire.script("commit")).tag;
    } catch (error) {
      throw this.#expired ?? databaseError(error, this.#database, "commit");
    }
    // PostgreSQL answers the commit of a failed transaction with a rollback, and calls that a success.
    if (tag !== "COMMIT") throw this.#failed ?? new Error("The transaction was rolled back: a statement in it had failed");
  }

  /** Undoes what there is to undo. Never rejects: a connection that cannot even do that is thrown away. */
  async rollback(): Promise<void> {
    const begun = this.#state === "begun";
    this.#state = "over";
    if (!begun || !this.#wire.usable) return;
    try {
      await this.#wire.script("rollback");
    } catch (error) {
      this.#wire.abort(new Error("The rollback failed", { cause: error }));
    }
  }

  /** What is to be run now that it has committed. */
  hooks(): readonly (() => void)[] {
    return this.#hooks ?? [];
  }

  /** Whether it could go back; if not, the transaction is lost, and its next statement or its commit says so. */
  async #undo(depth: number): Promise<boolean> {
    try {
      await this.script(`rollback to savepoint s${depth}; release savepoint s${depth}`);
      return true;
    } catch {
      return false; // what made it go back is more interesting
    }
  }

  #query(query: Sql): Promise<WireQuery> {
    const statement = compile(query);
    return this.#send(() => this.#wire.query(statement, this.#state === "untouched"), statement.text);
  }

  async #send(send: () => Promise<WireQuery>, text: string): Promise<WireQuery> {
    this.#check();
    try {
      const answer = send();
      // Only now: when a value cannot be sent, `begin` has not been sent either.
      this.#state = "begun";
      return await answer;
    } catch (error) {
      const explained = this.#expired ?? databaseError(error, this.#database, text);
      if (planIsStale(error) || serverIsReadOnly(error)) this.#wire.abort(explained);
      this.#failed ??= explained;
      throw explained;
    }
  }

  #check(): void {
    if (this.#expired !== undefined) throw this.#expired;
    if (this.#state === "over") throw new Error(`A transaction of ${this.#database} is over; nothing more runs in it`);
  }
}
