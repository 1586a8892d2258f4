import { Socket } from "node:net";
import { performance } from "node:perf_hooks";
import { connect as connectTls } from "node:tls";
import pg from "pg";
import { afterTurn } from "../clock/turn.ts";
import type { Target } from "./endpoints.ts";
import { ReadOnlyServer } from "./endpoints.ts";
import { sessionOptions } from "./session-options.ts";
import type { Statement } from "./sql.ts";
import { encodeAll } from "./values.ts";
import type { WireValue } from "./values.ts";
import { beginStatement, WireQuery } from "./wire-query.ts";
import type { Columns, WireQueryInit } from "./wire-query.ts";

const closeMs = 1_000;
/** With one of these on, the server accepts no writes. It reports them, and their changes, by itself. */
const readOnlySettings: ReadonlySet<string> = new Set(["in_hot_standby", "default_transaction_read_only"]);
/** So many statements stay prepared on a connection; further texts are parsed each time. Each costs the server some ten kilobytes. */
const preparedMax = 500;

export interface WireConnectionOptions {
  readonly target: Target;
  /** "write" accepts a primary only; "read" accepts any server. */
  readonly access: "write" | "read";
  /** As PostgreSQL's list of activities shows it. */
  readonly applicationName: string;
  /** The server stops a statement that runs longer. */
  readonly statementTimeoutMs: number;
}

/** What the types of pg's client leave out: the key for cancelling, and the connection below it. */
type Client = pg.Client & {
  readonly processID: number | null;
  readonly secretKey: number | null;
  readonly connection: {
    /** The socket, or the TLS over it. */
    readonly stream: Socket;
    on(event: "parameterStatus", notified: (message: { parameterName: string; parameterValue: string }) => void): void;
  };
};

/** One connection to PostgreSQL, on which statements are pipelined: sent without waiting for the results of those before. */
export class WireConnection {
  readonly #options: WireConnectionOptions;
  readonly #client: Client;
  readonly #readOnly = new Set<string>();
  /** What is written to: the TLS, where there is one, and not the socket below it. */
  #socket = new Socket();
  readonly #columns = new Map<string, Columns>();
  readonly #prepared = new Set<string>();
  #corked = false;
  #opened = false;
  #ending = false;
  /** Why it can no longer be used. */
  #lost: Error | undefined;
  /** Statements sent whose results are outstanding. */
  inFlight = 0;
  /** Since when the server works on the oldest of them, on the monotonic clock; when there is none, the time of the last result. */
  headSinceMs = performance.now();
  /** How long a statement takes, as a moving average. */
  #averageMs = 0;
  /** Resolves when the socket is closed, for whatever reason. */
  readonly closed: Promise<void>;

  private constructor(options: WireConnectionOptions) {
    const { target, applicationName, statementTimeoutMs } = options;
    this.#options = options;
    this.#client = new pg.Client({
      ...target,
      stream: () => this.#socket,
      pipeline: true,
      application_name: applicationName,
      statement_timeout: statementTimeoutMs,
      // For a process that is frozen; a running one ends its transactions itself, earlier.
      idle_in_transaction_session_timeout: 2 * statementTimeoutMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      options: sessionOptions,
    }) as Client;
    this.#client.connection.on("parameterStatus", ({ parameterName: name, parameterValue }) => {
      if (!readOnlySettings.has(name)) return;
      if (parameterValue === "on") this.#readOnly.add(name);
      else this.#readOnly.delete(name);
      // A writer cannot use it any more, and nothing else would close it.
      if (this.#opened && !this.#acceptsWrites && !this.#ending) void this.close();
    });
    this.#client.on("error", (error) => {
      this.#lost ??= error;
      this.#socket.destroy();
    });
    this.closed = new Promise((resolve) =>
      this.#client.once("end", () => {
        this.#lost ??= new Error("The connection was closed");
        resolve();
      }),
    );
  }

  /** Connects, within the target's time. Rejects with the driver's error, or with a `ReadOnlyServer`. */
  static async open(options: WireConnectionOptions): Promise<WireConnection> {
    const wire = new WireConnection(options);
    try {
      await wire.#client.connect();
      wire.#socket = wire.#client.connection.stream;
      if (!wire.#acceptsWrites) throw new ReadOnlyServer(`PostgreSQL at ${options.target.host}:${options.target.port} accepts no writes`);
      wire.#opened = true;
      // It is sent before all transactions, so nothing waits for its result.
      wire
        .#send("prepare", beginStatement.name, beginStatement.text, [])
        .catch((error: unknown) => wire.abort(new Error("The connection cannot prepare statements", { cause: error })));
      return wire;
    } catch (error) {
      wire.#client.connection.stream.destroy();
      throw error;
    }
  }

  /** Whether statements can be sent: not when it is closed or closing, which it also is when its server accepts no writes any more. */
  get usable(): boolean {
    return this.#lost === undefined && !this.#ending;
  }

  get #acceptsWrites(): boolean {
    return this.#readOnly.size === 0 || this.#options.access === "read";
  }

  /** How long a statement sent now would wait for those before it. */
  get backlogMs(): number {
    return this.inFlight * this.#averageMs;
  }

  /** Whether nothing is in flight and no transaction is open. */
  get isIdle(): boolean {
    return this.inFlight === 0 && this.#client.getTransactionStatus() === "I";
  }

  /**
   * Sends a statement; `begin` opens a transaction just before it. Throws, having sent nothing, for a value that cannot be sent. The
   * promise rejects with the driver's error. An error does not affect later statements.
   */
  query(statement: Statement, begin = false): Promise<WireQuery> {
    let name = statement.name;
    if (!this.#prepared.has(name)) {
      if (this.#prepared.size < preparedMax) this.#prepared.add(name);
      else name = "";
    }
    const values = encodeAll(statement.values);
    return this.#send(begin ? "begin" : "statement", name, statement.text, values);
  }

  /** Sends any number of statements without parameters. Outside of a transaction they are one transaction. */
  script(text: string): Promise<WireQuery> {
    return this.#send("script", "", text, []);
  }

  onNotification(notified: (channel: string, payload: string) => void): void {
    this.#client.on("notification", ({ channel, payload }) => notified(channel, payload ?? ""));
  }

  /** Closes the connection once all results have arrived, or cannot arrive any more. */
  async close(): Promise<void> {
    this.#ending = true;
    const timer = setTimeout(() => this.#socket.destroy(), closeMs + (this.inFlight > 0 ? this.#options.statementTimeoutMs : 0));
    await this.#client.end();
    await this.closed;
    clearTimeout(timer);
  }

  /** Closes it at once and cancels its running statement, which would go on and keep its locks if only the socket were closed. */
  abort(reason: Error): void {
    if (this.#lost !== undefined) return;
    this.#lost = reason;
    const { processID, secretKey } = this.#client;
    if (this.inFlight > 0 && processID !== null && secretKey !== null) {
      const request = Buffer.alloc(16);
      for (const [at, word] of [16, 80_877_102, processID, secretKey].entries()) request.writeInt32BE(word, at * 4);
      sendAlone(request, this.#options.target);
    }
    this.#socket.destroy(reason);
  }

  #send(kind: WireQueryInit["kind"], name: string, text: string, values: readonly WireValue[]): Promise<WireQuery> {
    const query = new WireQuery({ kind, name, text, values, columnsByName: this.#columns, completed: this.#completed });
    if (!this.#corked) {
      // All that is sent until this turn of the event loop ends goes out in one write.
      this.#corked = true;
      this.#socket.cork();
      afterTurn(this.#uncork);
    }
    if (this.inFlight++ === 0) this.headSinceMs = performance.now();
    // pg needs nothing of a query but `submit` and the handlers, but its types describe another connection.
    this.#client.query(query as unknown as pg.Submittable);
    return query.result;
  }

  readonly #uncork = (): void => {
    this.#corked = false;
    this.#socket.uncork();
  };

  readonly #completed = (): void => {
    const nowMs = performance.now();
    this.#averageMs += (nowMs - this.headSinceMs - this.#averageMs) / 16;
    this.inFlight--;
    this.headSinceMs = nowMs;
  };
}

/** Sends one message on a connection of its own, with the same TLS as the others. */
function sendAlone(message: Buffer, { host, port, ssl }: Target): void {
  const socket = new Socket().setTimeout(closeMs, () => socket.destroy());
  // When this fails too, the server's own time limit ends the statement.
  const giveUp = (): void => void socket.destroy();
  socket.on("error", giveUp);
  if (host.startsWith("/")) socket.connect(`${host}/.s.PGSQL.${port}`);
  else socket.connect(port, host);
  if (ssl === false) {
    socket.end(message);
    socket.resume();
    return;
  }
  const startTls = Buffer.alloc(8);
  startTls.writeInt32BE(8, 0);
  startTls.writeInt32BE(80_877_103, 4);
  socket.write(startTls);
  socket.once("data", (response) => {
    if (response.toString() !== "S") return giveUp();
    const secured = connectTls({ socket, host, ...ssl });
    secured.on("error", giveUp);
    secured.end(message);
    secured.resume();
  });
}
