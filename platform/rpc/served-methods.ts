import type { DescMethodUnary, DescService, Message } from "@bufbuild/protobuf";
import { methodsOf } from "../contract/contract.ts";
import type { MethodContract } from "../contract/contract.ts";
import { validatorOf } from "../contract/validate.ts";
import { refusalIn, refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { edgeCaller } from "./access.ts";
import { ConcurrencyLimiter, isUrgent } from "./concurrency-limiter.ts";
import type { ConcurrencyLimits } from "./concurrency-limiter.ts";
import type { Call } from "../call/call.ts";
import type { KeyStore } from "../database/idempotency.ts";
import { FairShare } from "./fair-share.ts";
import { notServed, refusalFor } from "./faults.ts";
import { replyOf, stepsOf } from "./interceptors.ts";
import type { Fields, Handle, MethodInit, ServingProcess, Steps } from "./interceptors.ts";
import { checkKeyed, honourKey } from "./keyed.ts";
import type { KeyedHandler } from "./keyed.ts";
import type { Route } from "./rpc.ts";
import { checkWaiting, isWaiting, OpenWaits } from "./waiting.ts";
import type { WaitingRead } from "./waiting.ts";

export interface ServedMethodsOptions {
  readonly log: Logger;
  /** For each service, on calls that come from the edge. Calls of services pass: they serve a call that has been admitted. */
  readonly limits?: Partial<ConcurrencyLimits>;
  /** Freezes requests and replies, so that changing one throws. For tests: it costs more than the call. */
  readonly freeze?: boolean;
}

type AnyHandler = Handle | KeyedHandler<Message, Fields, Message> | WaitingRead<Message, Fields, Message>;

/** A method as it is served here. */
export interface ServedMethod extends MethodInit {
  readonly all: Steps;
  /** Without the check of access, which the gateway of this process has done. */
  readonly admitted: Steps;
}

/** Streams that may be open at a time, of all gateways: each costs memory for as long as its reader likes. */
const streamPlaces = { max: 10_000, ofAccountMax: 1_000 };

/** The methods that this process serves, each with its steps: see interceptors.ts. */
export class ServedMethods {
  readonly #options: ServedMethodsOptions;
  readonly #methods = new Map<string, ServedMethod>();
  readonly #routes = new Map<string, readonly Route[]>();
  readonly #limiters = new Map<string, ConcurrencyLimiter>();
  readonly #streams = new Set<AbortController>();
  readonly #streamPlaces = new FairShare(streamPlaces);
  readonly #waits = new OpenWaits();
  #running = 0;
  #stopping = false;
  #idle: (() => void) | undefined;

  constructor(options: ServedMethodsOptions) {
    this.#options = options;
  }

  get routes(): ReadonlyMap<string, readonly Route[]> {
    return this.#routes;
  }

  /** Offers routes as the named service. Throws for what is served already, not implemented, or implemented otherwise than its contract says of keys. */
  serve(service: string, routes: readonly Route[], store?: KeyStore): void {
    const limiter = this.#limiters.get(service) ?? new ConcurrencyLimiter(this.#options.limits);
    this.#limiters.set(service, limiter);
    for (const route of routes)
      for (const contract of methodsOf(route.service)) {
        const { localName } = contract.method;
        const key = keyOf(service, route.service, localName);
        if (this.#methods.has(key)) throw new Error(`${service} serves ${route.service.typeName}.${contract.method.name} twice`);
        this.#methods.set(key, this.#methodOf(contract, route, { service, limiter, store }));
      }
    this.#routes.set(service, [...(this.#routes.get(service) ?? []), ...routes]);
  }

  find(service: string, contract: DescService, localName: string): ServedMethod | undefined {
    return this.#methods.get(keyOf(service, contract, localName));
  }

  /** Whether a caller's new calls are taken. While others are under way theirs go on, or stopping would break them halfway. */
  takesFrom(caller: string): boolean {
    return !this.#stopping || (caller !== edgeCaller && this.#running > 0);
  }

  /** Performs a call of a unary method. Refuses, and never with anything but a refusal. */
  perform(method: ServedMethod, request: Fields, call: Call): Promise<Message> {
    return method.all.unary(request, call);
  }

  /** Performs a call of a method that streams, which ends at the call's deadline, when its reader leaves, and when this process stops. */
  async *stream(method: ServedMethod, request: Fields, call: Call, { admitted = false } = {}): AsyncGenerator<Message> {
    const message = (admitted ? method.admitted : method.all).check(request, call);
    if (this.#stopping) throw notServed(method.name);
    if (call.caller === edgeCaller) method.limiter.refuseWhenFull(method.urgent, () => call.origin);
    const end = new AbortController();
    const place = { client: { account: call.user?.id, origin: call.origin }, end: () => end.abort() };
    if (!this.#streamPlaces.take(place)) throw refuse({ reason: "OVERLOADED", code: "unavailable", retryAfterMs: 1000 });
    this.#streams.add(end);
    const own = call.with({ idempotencyKey: call.idempotencyKey, signal: AbortSignal.any([call.signal, end.signal]) });
    try {
      const replies = method.handle(message, own) as AsyncIterable<Fields>; // the contract says that it streams
      for await (const reply of replies) yield replyOf(method, reply);
      if (this.#stopping) throw notServed(method.name);
      own.check();
    } catch (error) {
      // A handler whose stream was ended may throw an error of its own.
      if (refusalIn(error) === undefined && own.signal.aborted) {
        if (this.#stopping) throw notServed(method.name);
        own.check();
      }
      throw refusalFor(error, { log: this.#options.log, call, method: method.name });
    } finally {
      end.abort();
      this.#streams.delete(end);
      this.#streamPlaces.give(place);
    }
  }

  /** Ends what waits for a change, now and from now on: for a server that stops before the methods do. */
  endWaits(): void {
    this.#waits.end();
  }

  /** Takes no more calls, ends streams and waits, and waits for calls under way with those that they make. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.endWaits();
    for (const stream of this.#streams) stream.abort();
    if (this.#running === 0) return;
    await new Promise<void>((resolve) => {
      const others = this.#idle;
      this.#idle = () => {
        others?.();
        resolve();
      };
    });
  }

  #methodOf(
    contract: MethodContract,
    route: Route,
    { service, limiter, store }: { readonly service: string; readonly limiter: ConcurrencyLimiter; readonly store: KeyStore | undefined },
  ): ServedMethod {
    const { localName, input } = contract.method;
    const name = `${route.service.typeName}.${contract.method.name}`;
    // A generic route's handlers have no static type: their contract is checked where they were implemented.
    const handlers = route.implementation as Readonly<Record<string, AnyHandler | undefined>>;
    const handler = handlers[localName];
    if (handler === undefined) throw new Error(`${service} does not implement ${name}`);
    checkWaiting(handler, contract);
    const waiting = isWaiting(handler) ? handler : undefined;
    const plain = isWaiting(handler) ? handler.read : handler;
    checkKeyed(plain, contract);
    // A handler in a keyed form is a unary method's: `checkKeyed` has seen to it.
    const handle = typeof plain === "function" ? plain.bind(handlers) : honourKey(plain, contract.method as DescMethodUnary, store);
    const init = {
      name,
      contract,
      validate: validatorOf(input),
      handle,
      waiting,
      limiter,
      urgent: isUrgent(contract),
      process: this.#process,
    };
    return { ...init, all: stepsOf(init, { admitted: false }), admitted: stepsOf(init, { admitted: true }) };
  }

  get #process(): ServingProcess {
    const { log, freeze = false } = this.#options;
    return {
      log,
      freeze,
      takesFrom: (caller) => this.takesFrom(caller),
      waits: this.#waits,
      begin: () => void this.#running++,
      end: () => {
        if (--this.#running === 0) this.#idle?.();
      },
    };
  }
}

const keyOf = (service: string, contract: DescService, method: string) => `${service} ${contract.typeName} ${method}`;
