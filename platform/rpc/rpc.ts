import type { DescMethodServerStreaming, DescMethodUnary, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Call } from "../call/call.ts";
import type { KeyStore } from "../database/idempotency.ts";
import type { KeyedHandler } from "./keyed.ts";
import type { WaitingRead } from "./waiting.ts";

/** The methods of a service, by their local (lowerCamelCase) names. */
type Methods<S extends DescService> = S["method"];

/**
 * A method's implementation: gets the validated, deeply readonly request; replies with what `create` would take, once or as a stream.
 * A stream ends when `call.signal` aborts: at the deadline, or when it is not read any more. A method whose contract honours an
 * idempotency key has one of the forms in keyed.ts; one whose caller may wait for a change has that in waiting.ts.
 */
export type Handler<M> =
  M extends DescMethodUnary<infer I, infer O>
    ?
        | ((request: MessageShape<I>, call: Call) => Promise<MessageInitShape<O>>)
        | KeyedHandler<MessageShape<I>, MessageInitShape<O>, MessageShape<O>>
        | WaitingRead<MessageShape<I>, MessageInitShape<O>, MessageShape<O>>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageShape<I>, call: Call) => AsyncIterable<MessageInitShape<O>>
      : never;

export type Implementation<S extends DescService> = { readonly [K in keyof Methods<S>]: Handler<Methods<S>[K]> };

/**
 * Calls to a service that may be in this process or elsewhere. Throws `Refusal`: the callee's own, `INVALID_REQUEST`,
 * `PERMISSION_DENIED`, `DEADLINE_EXCEEDED`, `DEPENDENCY_UNAVAILABLE` or `INTERNAL_ERROR` for its faults. A stream starts
 * when its reading begins, is read once, and is cancelled when the reader leaves its loop.
 */
export type Client<S extends DescService> = {
  readonly [K in keyof Methods<S>]: Methods<S>[K] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, call: Call) => Promise<MessageShape<O>>
    : Methods<S>[K] extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageInitShape<I>, call: Call) => AsyncIterable<MessageShape<O>>
      : never;
};

/** A contract with its implementation. */
export interface Route<S extends DescService = DescService> {
  readonly service: S;
  readonly implementation: Implementation<S>;
}

/** Binds an implementation to its contract, type-checked. */
export function implement<S extends DescService>(service: S, implementation: Implementation<S>): Route {
  return { service, implementation };
}

/** What lets one service call others. The host fixes the caller's name. */
export interface Clients {
  /** A client of `contract` at the named service: `clients.of("catalog", CatalogService)`. */
  of<S extends DescService>(service: string, contract: S): Client<S>;
}

/** Where services are served and called. */
export interface Rpc {
  /**
   * Offers routes as the named service. Throws for a method whose handler honours an idempotency key otherwise than its contract says.
   * `store` is where the service's replies are stored: one whose handlers store none needs none.
   */
  serve(service: string, routes: readonly Route[], store?: KeyStore): void;
  /**
   * Clients whose calls come from the named service. `admitted` is for the gateway, which has checked access by the contract: it is not checked
   * again in this process.
   */
  clientsFor(caller: string, options?: { readonly admitted?: boolean }): Clients;
  /** The contracts that are served here, by service. */
  served(): ReadonlyMap<string, readonly Pick<Route, "service">[]>;
  /** Takes no more calls and waits for those under way. */
  stop(): Promise<void>;
}
