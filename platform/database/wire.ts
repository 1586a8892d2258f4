import { Socket } from "node:net";
import { performance } from "node:perf_hooks";
import { connect as connectTls } from "node:tls";
import pg from "pg";
import type { Target } from "./reach.ts";
import { ReadOnlyServer } from "./reach.ts";
import { sessionOptions } from "./session-options.ts";
import type { Statement } from "./sql.ts";
import { encodeAll } from "./values.ts";
import type { WireValue } from "./values.ts";
import { beginStatement, WireQuery } from "./wire-query.ts";
import type { Columns, WireQueryInit } from "./wire-query.ts";

const goodbyeMs = 1_000;
/** With one of these on, the server takes no writes. It tells of them, and of their changes, unasked. */
const readOnlySettings: ReadonlySet<string> = new Set(["in_hot_standby", "default_transaction_read_only"]);
/** Statements that one connection keeps prepared; later texts are parsed each time. Each costs the server some ten kilobytes. */
const preparedMax = 500;

export interface WireOptions {
  readonly target: Target;
  /** "write" takes a primary only; "read" takes what it gets. */
  readonly access: "write" | "read";
  /** As PostgreSQL's list of activities shows it. */
  readonly applicationName: string;
  /** The server stops a statement that runs longer. */
  readonly statementTimeoutMs: number;
}

/** What of pg's client its types leave out: what the server gave to cancel by, and the connection beneath. */
type Client = pg.Client & {
  readonly processID: number | null;
  readonly secretKey: number | null;
  readonly connection: {
    /** The socket, or the TLS over it. */
    readonly stream: Socket;
    on(event: "parameterStatus", heard: (message: { parameterName: string; parameterValue: string }) => void): void;
  };
};

/** One connection to PostgreSQL, on which statements follow each other without waiting for answers. */
export class Wire {
  readonly #options: WireOptions;
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
  /** Statements sent and not yet answered. */
  inFlight = 0;
  /** Since when the oldest of them has been at work, on the monotonic clock; the last answer's time when there is none. */
  headSinceMs = performance.now();
  /** How long an answer takes, on average over the last ones. */
  #answerMs = 0;
  /** Resolves when the socket is closed, for whatever reason. */
  readonly closed: Promise<void>;

  private constructor(options: WireOptions) {
    const { target, applicationName, statementTimeoutMs } = options;
    this.#options = options;
    this.#client = new pg.Client({
      ...target,
      stream: () => this.#socket,
      pipeline: true,
      application_name: applicationName,
      statement_timeout: statementTimeoutMs,
      // For a process that froze; a living one ends its transactions itself, earlier.
      idle_in_transaction_session_timeout: 2 * statementTimeoutMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      options: sessionOptions,
    }) as Client;
    this.#client.connection.on("parameterStatus", ({ parameterName: name, parameterValue }) => {
      if (!readOnlySettings.has(name)) return;
      if (parameterValue === "on") this.#readOnly.add(name);
      else this.#readOnly.delete(name);
      // Of no use to a writer any more: nobody would ever close it.
      if (this.#opened && !this.#takesWrites && !this.#ending) void this.close();
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
  static async open(options: WireOptions): Promise<Wire> {
    const wire = new Wire(options);
    try {
      await wire.#client.connect();
      wire.#socket = wire.#client.connection.stream;
      if (!wire.#takesWrites) throw new ReadOnlyServer(`PostgreSQL at ${options.target.host}:${options.target.port} takes no writes`);
      wire.#opened = true;
      // Transactions that come next are behind it on the wire, so nobody waits for the answer.
      wire
        .#send("prepare", beginStatement.name, beginStatement.text, [])
        .catch((error: unknown) => wire.abort(new Error("The connection cannot prepare", { cause: error })));
      return wire;
    } catch (error) {
      wire.#client.connection.stream.destroy();
      throw error;
    }
  }

  /** Whether more can be sent: not when it is closed or closing, as it is when its server takes no writes any more. */
  get usable(): boolean {
    return this.#lost === undefined && !this.#ending;
  }

  get #takesWrites(): boolean {
    return this.#readOnly.size === 0 || this.#options.access === "read";
  }

  /** How long a statement sent now would wait for those before it. */
  get backlogMs(): number {
    return this.inFlight * this.#answerMs;
  }

  /** Whether the server is outside of any transaction, as of its last answer. */
  get atRest(): boolean {
    return this.inFlight === 0 && this.#client.getTransactionStatus() === "I";
  }

  /**
   * Sends a statement; `begin` opens a transaction just before it. Throws, having sent nothing, for a value that cannot be sent. The
   * promise rejects with the driver's error. An error leaves the statements behind it alone.
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

  /** Sends statements without parameters, any number of them. Outside of a transaction they are one. */
  script(text: string): Promise<WireQuery> {
    return this.#send("script", "", text, []);
  }

  onNotification(heard: (channel: string, payload: string) => void): void {
    this.#client.on("notification", ({ channel, payload }) => heard(channel, payload ?? ""));
  }

  /** Closes it once all that was sent is answered, or cannot be any more. */
  async close(): Promise<void> {
    this.#ending = true;
    const timer = setTimeout(() => this.#socket.destroy(), goodbyeMs + (this.inFlight > 0 ? this.#options.statementTimeoutMs : 0));
    await this.#client.end();
    await this.closed;
    clearTimeout(timer);
  }

  /** Throws it away, and has the server stop the statement at work on it: closing the socket alone would leave that, and its locks, be. */
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
    const query = new WireQuery({ kind, name, text, values, known: this.#columns, answered: this.#answered });
    if (!this.#corked) {
      // All that is sent until this turn ends goes out in one write.
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(this.#uncork);
    }
    if (this.inFlight++ === 0) this.headSinceMs = performance.now();
    // pg asks no more of a query than that it can be submitted, but types its connection otherwise than it is.
    this.#client.query(query as unknown as pg.Submittable);
    return query.answer;
  }

  readonly #uncork = (): void => {
    this.#corked = false;
    this.#socket.uncork();
  };

  readonly #answered = (): void => {
    const nowMs = performance.now();
    this.#answerMs += (nowMs - this.headSinceMs - this.#answerMs) / 16;
    this.inFlight--;
    this.headSinceMs = nowMs;
  };
}

/** Sends one message on a connection of its own, protected as the others are. */
function sendAlone(message: Buffer, { host, port, ssl }: Target): void {
  const socket = new Socket().setTimeout(goodbyeMs, () => socket.destroy());
  // A server that does not answer has lost the connection anyway; its own limit stops the statement.
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
  socket.once("data", (answer) => {
    if (answer.toString() !== "S") return giveUp();
    const secured = connectTls({ socket, host, ...ssl });
    secured.on("error", giveUp);
    secured.end(message);
    secured.resume();
  });
}
