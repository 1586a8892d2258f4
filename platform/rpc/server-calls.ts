import type { DescService, Message } from "@bufbuild/protobuf";
import { refusalIn, refuse } from "../errors/refusal.ts";
import type { Refusal } from "../errors/refusal.ts";
import { NotServedHere } from "./accept-call.ts";
import type { Accepted } from "./accept-call.ts";
import type { RpcServerOptions } from "./rpc-server.ts";
import { notServed } from "./faults.ts";
import type { Fields } from "./interceptors.ts";

/** How long calls under way may take to end when the server stops. */
const stopMs = 10_000;

/** What the caller of a call that failed gets. */
export interface Failure {
  readonly refusal: Refusal;
  /** The call never ran: another process may be called instead. */
  readonly notExecuted: boolean;
}

export interface StreamCall extends Accepted {
  readonly request: Fields;
  /** Aborted when the reader disconnects, and by `stop`. The call's signal. */
  readonly abort: AbortController;
  /** Resolves when the next message may be sent; undefined when that is now. */
  readonly send: (message: Message) => Promise<void> | undefined;
}

/** What the servers of all wires do alike with the calls that arrive; framing is each wire's own. */
export class ServerCalls {
  readonly #options: RpcServerOptions;
  readonly #streams = new Set<AbortController>();
  readonly #stopHandlers = new Set<() => void>();
  readonly #identities = new WeakMap<object, readonly string[]>();
  #stopping = false;
  #stopped: Promise<void> | undefined;

  constructor(options: RpcServerOptions) {
    this.#options = options;
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** The contracts of all that is served. */
  contracts(): ReadonlySet<DescService> {
    return new Set([...this.#options.methods.routes.values()].flatMap((routes) => routes.map(({ service }) => service)));
  }

  /** What `read` returns for a connection, read once: for the same connection it stays the same, and reading it costs more than a call. */
  identitiesOf(connection: object | undefined, read: () => readonly string[] | undefined): readonly string[] | undefined {
    const known = connection === undefined ? undefined : this.#identities.get(connection);
    if (known !== undefined) return known;
    const identities = read();
    if (connection !== undefined && identities !== undefined) this.#identities.set(connection, identities);
    return identities;
  }

  /** Calls `stopping` when this server stops, until the function that it returns is called. */
  onStopping(stopping: () => void): () => void {
    this.#stopHandlers.add(stopping);
    return () => this.#stopHandlers.delete(stopping);
  }

  /** Sends a stream's messages until it ends or its reader disconnects. Throws what ends it otherwise; when this server stops, that it is not served here. */
  async stream({ method, call, request, abort, send }: StreamCall): Promise<void> {
    this.#streams.add(abort);
    try {
      for await (const message of this.#options.methods.stream(method, request, call)) {
        if (!abort.signal.aborted) await send(message);
        if (!abort.signal.aborted) continue;
        if (this.#stopping) throw notServed(method.name);
        return;
      }
    } catch (error) {
      throw this.#stopping && abort.signal.aborted ? notServed(method.name) : error;
    } finally {
      this.#streams.delete(abort);
    }
  }

  /** What the caller gets of an error: the refusal in it, or `INTERNAL_ERROR` without any text for a fault, which is logged. */
  failure(error: unknown): Failure {
    if (error instanceof NotServedHere) return { refusal: notServed(error.message), notExecuted: true };
    const refusal = refusalIn(error);
    if (refusal === undefined) this.#options.log.error({ error }, "fault in the rpc server");
    return { refusal: refusal ?? refuse({ reason: "INTERNAL_ERROR", code: "internal" }), notExecuted: false };
  }

  /** Whether this process takes calls. One that cannot find out is not ready. */
  async isReady(): Promise<boolean> {
    try {
      return (await this.#options.ready()) && !this.#stopping;
    } catch (error) {
      this.#options.log.warn({ error }, "could not find out whether the process is ready");
      return false;
    }
  }

  /** Ends streams and waits, and closes the server; connections that are left after 10 s are cut. Stopping again waits for the first time. */
  stop(server: { close(): Promise<void>; cut(): void }): Promise<void> {
    return (this.#stopped ??= this.#stop(server));
  }

  async #stop(server: { close(): Promise<void>; cut(): void }): Promise<void> {
    this.#stopping = true;
    for (const stream of this.#streams) stream.abort();
    this.#options.methods.endWaits();
    for (const stopping of this.#stopHandlers) stopping();
    const timer = setTimeout(() => server.cut(), stopMs);
    await server.close().finally(() => clearTimeout(timer));
  }
}
