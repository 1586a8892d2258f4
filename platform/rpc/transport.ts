import type { DescService, Message } from "@bufbuild/protobuf";
import type { MethodContract } from "../contract/contract.ts";
import type { Call } from "../call/call.ts";
import type { Callers } from "./callers.ts";
import type { TlsIdentity } from "./tls-identity.ts";

/** Carries calls to one service that runs elsewhere. Throws the callee's refusals, and `TransportFailure` when the callee did not respond. */
export interface Transport {
  unary(method: MethodContract, request: Message, call: Call): Promise<Message>;
  stream(method: MethodContract, request: Message, call: Call): AsyncIterable<Message>;
  close(): void;
}

export interface TransportFailureOptions extends ErrorOptions {
  readonly notExecuted?: boolean;
}

/** The callee could not be reached, or disconnected without a response: the call may have been executed, unless this says `notExecuted`. */
export class TransportFailure extends Error {
  override readonly name = "TransportFailure";
  /** The call was never executed: it may be sent again, whatever it does. */
  readonly notExecuted: boolean;

  constructor(message: string, { notExecuted = false, ...options }: TransportFailureOptions = {}) {
    super(message, options);
    this.notExecuted = notExecuted;
  }
}

/** What every transport needs to know. */
export interface TransportOptions {
  readonly service: string;
  /** "host:port": names are looked up again now and then; all their addresses are used in turn, and all of these. */
  readonly addresses: readonly string[];
  readonly callers: Callers;
  readonly tls?: TlsIdentity;
  /** Called with the name of the process that sent each response. For tests and measurements. */
  readonly onResponse?: (instance: string) => void;
}

/** How a process calls services that run elsewhere. */
export interface Remotes {
  /** A service that runs elsewhere; undefined when it is called in this process. */
  to(service: string): RemoteService | undefined;
  /** The state of each, for metrics. */
  figures(): readonly RemoteFigures[];
  close(): void;
}

/** A service elsewhere, as one caller sees it. */
export interface RemoteService {
  client(contract: DescService, caller: string): Readonly<Record<string, RemoteMethod>>;
}

/** Returns a message, or a stream of them. */
export type RemoteMethod = (request: Record<string, unknown>, call: Call) => Promise<Message> | AsyncIterable<Message>;

export interface RemoteFigures {
  readonly service: string;
  readonly breaker: "closed" | "open" | "half-open";
  readonly calls: number;
  readonly failures: number;
  readonly retries: number;
}
