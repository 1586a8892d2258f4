import type { DescService, Message } from "@bufbuild/protobuf";
import type { MethodContract } from "../contract/contract.ts";
import type { Call } from "../call/call.ts";
import type { Callers } from "./callers.ts";
import type { TlsIdentity } from "./tls-identity.ts";

/** Carries calls to one service that runs elsewhere. Throws the callee's refusals, and `TransportFailure` when there was no answer of the callee's. */
export interface Transport {
  unary(method: MethodContract, request: Message, call: Call): Promise<Message>;
  stream(method: MethodContract, request: Message, call: Call): AsyncIterable<Message>;
  close(): void;
}

export interface TransportFailureOptions extends ErrorOptions {
  readonly notExecuted?: boolean;
}

/** The callee could not be reached, or went away without an answer: what was asked may have been done, unless it is `undone`. */
export class TransportFailure extends Error {
  override readonly name = "TransportFailure";
  /** It never came to a handler: it may be asked again, whatever it was. */
  readonly notExecuted: boolean;

  constructor(message: string, { notExecuted = false, ...options }: TransportFailureOptions = {}) {
    super(message, options);
    this.notExecuted = notExecuted;
  }
}

/** Processes that are started together wait for each other for so long, instead of failing each other's first calls. */
export const patienceMs = 30_000;

/** What every transport needs to know. */
export interface TransportOptions {
  readonly service: string;
  /** "host:port": names are looked up again now and then; all their addresses are used in turn, and all of these. */
  readonly addresses: readonly string[];
  readonly callers: Callers;
  readonly tls?: TlsIdentity;
  /** Told which process gave each answer. For tests and measurements. */
  readonly heard?: (instance: string) => void;
}

/** How a process calls services that run elsewhere. */
export interface Remotes {
  /** The way to a service; undefined when it is called in this process. */
  to(service: string): RemoteService | undefined;
  /** The state of each way, for metrics. */
  figures(): readonly RemoteFigures[];
  close(): void;
}

/** A service elsewhere, as one caller sees it. */
export interface RemoteService {
  client(contract: DescService, caller: string): Readonly<Record<string, RemoteMethod>>;
}

/** Answers with a message, or with a stream of them. */
export type RemoteMethod = (request: Record<string, unknown>, call: Call) => Promise<Message> | AsyncIterable<Message>;

export interface RemoteFigures {
  readonly service: string;
  readonly breaker: "closed" | "open" | "half-open";
  readonly calls: number;
  readonly failures: number;
  readonly retries: number;
}
