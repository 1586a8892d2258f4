import pg from "pg";
import { decoderOf, ValueError } from "./values.ts";
import type { Decode, WireValue } from "./values.ts";

/** What the columns of a statement are called and how they are read. */
export type Columns = readonly { readonly name: string; readonly decode: Decode }[];

/** What a query uses of pg's connection. */
interface Protocol {
  readonly parsedStatements: Readonly<Record<string, string>>;
  readonly submittedNamedStatements: Record<string, string>;
  parse(message: { name: string; text: string }): void;
  bind(message: { statement: string; values: readonly WireValue[] }): void;
  describe(message: { type: "P" }): void;
  execute(message: null): void;
  sync(): void;
  query(text: string): void;
  sendCopyFail(reason: string): void;
}

export interface WireQueryInit {
  /**
   * "statement": one, with parameters. "begin": the same behind a `begin` that the connection has prepared, without a sync between them, so
   * that neither costs a round trip and an error of the first skips the second. "prepare": only parses. "script": any number, no
   * parameters.
   */
  readonly kind: "statement" | "begin" | "prepare" | "script";
  readonly name: string;
  readonly text: string;
  readonly values: readonly WireValue[];
  /** The columns of the connection's prepared statements, which are not described again. */
  readonly columnsByName: Map<string, Columns>;
  /** Called once, just before `result` settles. */
  readonly completed: () => void;
}

const noColumns: Columns = [];

/**
 * One exchange on a connection, instead of pg's own query (which copies its configuration, emits events, and has the server describe
 * the result every time: together 40 % of a small statement). pg calls the methods, `result` settles.
 */
export class WireQuery {
  readonly name: string;
  readonly text: string;
  /** PostgreSQL's command tag: "UPDATE 1", "COMMIT". */
  tag = "";
  readonly result: Promise<WireQuery>;
  readonly #init: WireQueryInit;
  #begun: boolean;
  #columns: Columns | undefined;
  #rows: object[] | undefined;
  #failure: unknown;
  #resolve!: (query: WireQuery) => void;
  #reject!: (error: unknown) => void;

  constructor(init: WireQueryInit) {
    this.#init = init;
    this.name = init.name;
    this.text = init.text;
    this.#begun = init.kind !== "begin";
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** The rows, whose shape is not checked. Not called `rows`, because pg refuses queries with such an option in its pipeline. */
  resultRows<Row extends object>(): Row[] {
    return (this.#rows ?? []) as Row[];
  }

  /** How many rows were written, or returned. */
  rowCount(): number {
    return Number(/\d+$/.exec(this.tag)?.[0] ?? 0);
  }

  submit(connection: Protocol): null {
    const { kind, name, text, values, columnsByName } = this.#init;
    if (kind === "script") {
      connection.query(text);
      return null;
    }
    if (kind === "begin") {
      connection.bind({ statement: beginStatement.name, values: [] });
      connection.execute(null);
    }
    // A name counts as prepared once it was sent: pg removes it when parsing fails.
    const prepared = name !== "" && (connection.parsedStatements[name] ?? connection.submittedNamedStatements[name]) !== undefined;
    if (!prepared) {
      connection.parse({ name, text });
      if (name !== "") connection.submittedNamedStatements[name] = text;
      columnsByName.delete(name);
    }
    if (kind !== "prepare") {
      connection.bind({ statement: name, values });
      this.#columns = prepared ? columnsByName.get(name) : undefined;
      if (this.#columns === undefined) connection.describe({ type: "P" });
      connection.execute(null);
    }
    connection.sync();
    return null;
  }

  handleRowDescription(message: { fields: readonly { name: string; dataTypeID: number }[] }): void {
    this.#columns = message.fields.map((field) => ({ name: field.name, decode: decoderOf(field.dataTypeID) }));
    this.#rows = undefined; // of a script, the rows of the last statement
  }

  handleDataRow(message: { fields: readonly (string | null)[] }): void {
    const row: Record<string, unknown> = {};
    const columns = this.#columns ?? noColumns;
    try {
      for (let at = 0; at < columns.length; at++) {
        const column = columns[at]!;
        const text = message.fields[at]!;
        row[column.name] = text === null ? null : column.decode(text);
      }
    } catch (error) {
      this.#failure ??= new ValueError("A row cannot be read", { cause: error });
    }
    (this.#rows ??= []).push(row);
  }

  handleCommandComplete(message: { text: string }): void {
    if (!this.#begun) {
      this.#begun = true;
      return;
    }
    this.tag = message.text;
    const { kind, name, columnsByName } = this.#init;
    if (kind !== "script" && name !== "" && !columnsByName.has(name)) columnsByName.set(name, this.#columns ?? noColumns);
  }

  handleReadyForQuery(): void {
    this.#init.completed();
    if (this.#failure === undefined) this.#resolve(this);
    else this.#reject(this.#failure);
  }

  handleError(error: unknown): void {
    this.#init.completed();
    this.#reject(error);
  }

  handleEmptyQuery(): void {}

  handlePortalSuspended(): void {}

  handleCopyInResponse(connection: Protocol): void {
    connection.sendCopyFail("copy is not supported here");
  }

  handleCopyData(): void {}
}

// pg lets only its own queries into a pipeline, because others may keep a portal open. This one keeps none.
Object.setPrototypeOf(WireQuery.prototype, pg.Query.prototype);

/** Every connection has it prepared. Read committed whatever the server's default is. */
export const beginStatement = { name: "begin", text: "begin isolation level read committed" };
