import pg from "pg";
import { decoderOf, ValueError } from "./values.ts";
import type { Decode, WireValue } from "./values.ts";

/** What the columns of a statement are called and how they are read. */
export type Columns = readonly { readonly name: string; readonly decode: Decode }[];

/** What of pg's connection a query talks to. */
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
  /** The connection's memory of its statements' columns; those that it knows are not described again. */
  readonly known: Map<string, Columns>;
  /** Called once, just before `answer` settles. */
  readonly answered: () => void;
}

const noColumns: Columns = [];

/**
 * One exchange on a connection, in the place of pg's own query (which copies its configuration, emits events, and has the server describe
 * the result every time: together 40 % of a small statement). pg calls the methods, `answer` settles.
 */
export class WireQuery {
  readonly name: string;
  readonly text: string;
  /** PostgreSQL's word for what was done: "UPDATE 1", "COMMIT". */
  tag = "";
  readonly answer: Promise<WireQuery>;
  readonly #init: WireQueryInit;
  #begun: boolean;
  #columns: Columns | undefined;
  #found: object[] | undefined;
  #failure: unknown;
  #resolve!: (query: WireQuery) => void;
  #reject!: (error: unknown) => void;

  constructor(init: WireQueryInit) {
    this.#init = init;
    this.name = init.name;
    this.text = init.text;
    this.#begun = init.kind !== "begin";
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** The rows. Their shape is the writer's word. */
  found<Row extends object>(): Row[] {
    return (this.#found ?? []) as Row[];
  }

  /** How many rows were written, or found. */
  touched(): number {
    return Number(/\d+$/.exec(this.tag)?.[0] ?? 0);
  }

  submit(connection: Protocol): null {
    const { kind, name, text, values, known } = this.#init;
    if (kind === "script") {
      connection.query(text);
      return null;
    }
    if (kind === "begin") {
      connection.bind({ statement: beginStatement.name, values: [] });
      connection.execute(null);
    }
    // A name is known from when it was sent: pg takes it back when its parsing fails.
    const parsed = name !== "" && (connection.parsedStatements[name] ?? connection.submittedNamedStatements[name]) !== undefined;
    if (!parsed) {
      connection.parse({ name, text });
      if (name !== "") connection.submittedNamedStatements[name] = text;
      known.delete(name);
    }
    if (kind !== "prepare") {
      connection.bind({ statement: name, values });
      this.#columns = parsed ? known.get(name) : undefined;
      if (this.#columns === undefined) connection.describe({ type: "P" });
      connection.execute(null);
    }
    connection.sync();
    return null;
  }

  handleRowDescription(message: { fields: readonly { name: string; dataTypeID: number }[] }): void {
    this.#columns = message.fields.map((field) => ({ name: field.name, decode: decoderOf(field.dataTypeID) }));
    this.#found = undefined; // of a script, the rows of the last statement
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
    (this.#found ??= []).push(row);
  }

  handleCommandComplete(message: { text: string }): void {
    if (!this.#begun) {
      this.#begun = true;
      return;
    }
    this.tag = message.text;
    const { kind, name, known } = this.#init;
    if (kind !== "script" && name !== "" && !known.has(name)) known.set(name, this.#columns ?? noColumns);
  }

  handleReadyForQuery(): void {
    this.#init.answered();
    if (this.#failure === undefined) this.#resolve(this);
    else this.#reject(this.#failure);
  }

  handleError(error: unknown): void {
    this.#init.answered();
    this.#reject(error);
  }

  handleEmptyQuery(): void {}

  handlePortalSuspended(): void {}

  handleCopyInResponse(connection: Protocol): void {
    connection.sendCopyFail("copy is not for here");
  }

  handleCopyData(): void {}
}

// pg lets only its own queries into a pipeline, because others may keep a portal open. This one keeps none.
Object.setPrototypeOf(WireQuery.prototype, pg.Query.prototype);

/** Every connection has it prepared. Read committed whatever the server's default is. */
export const beginStatement = { name: "begin", text: "begin isolation level read committed" };
