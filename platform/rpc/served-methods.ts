import { create, isMessage } from "@bufbuild/protobuf";
import type { DescMethodUnary, DescService, Message } from "@bufbuild/protobuf";
import { methodsOf } from "../contract/contract.ts";
import type { MethodContract } from "../contract/contract.ts";
import { validatorOf } from "../contract/validate.ts";
import { forbidInTransaction } from "../database/in-transaction.ts";
import { refusalIn, refuse } from "../errors/refusal.ts";
import type { Refusal } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { checkAccess, edgeCaller } from "./access.ts";
import { ConcurrencyLimiter, isUrgent } from "./concurrency-limiter.ts";
import type { ConcurrencyLimits } from "./concurrency-limiter.ts";
import type { Call } from "../call/call.ts";
import type { KeyStore } from "../database/idempotency.ts";
import { Deadlines } from "../call/deadlines.ts";
import { refusalFor } from "./faults.ts";
import { deepFreeze } from "./freeze.ts";
import { checkKeyed, honourKey } from "./keyed.ts";
import type { KeyedHandler } from "./keyed.ts";
import type { Route } from "./rpc.ts";

export interface ServedMethodsOptions {
  readonly log: Logger;
  /** For each service, on calls that come from the edge. Calls within the house pass: they hold a place already. */
  readonly limits?: Partial<ConcurrencyLimits>;
  /** Freezes requests and answers, so that whoever changes one is found. For tests: it costs more than the call. */
  readonly freeze?: boolean;
}

/** A message, or what `create` makes one of. */
export type Fields = Record<string, unknown>;
type Answer = (request: Message, call: Call) => Promise<Fields> | AsyncIterable<Fields>;
type AnyHandler = Answer | KeyedHandler<Message, Fields, Message>;

/** A method as it is served here. */
export interface ServedMethod {
  /** "kontor.orders.v1.OrdersService.GetOrder" */
  readonly name: string;
  readonly service: string;
  readonly contract: MethodContract;
  readonly validate: (message: Message) => void;
  readonly answer: Answer;
  readonly door: ConcurrencyLimiter;
  readonly urgent: boolean;
}

/** Streams that may be open at a time: each costs memory for as long as its reader likes. */
const streamsMax = 10_000;

/** The methods that this process serves, with all that stands before a handler whichever way a call came: validation, access, limits, deadline, errors. */
export class ServedMethods {
  readonly #options: ServedMethodsOptions;
  readonly #methods = new Map<string, ServedMethod>();
  readonly #routes = new Map<string, readonly Route[]>();
  readonly #doors = new Map<string, ConcurrencyLimiter>();
  readonly #deadlines = new Deadlines();
  readonly #streams = new Set<AbortController>();
  #running = 0;
  #stopping = false;
  #idle: (() => void) | undefined;

  constructor(options: ServedMethodsOptions) {
    this.#options = options;
  }

  get routes(): ReadonlyMap<string, readonly Route[]> {
    return this.#routes;
  }

  /** Offers routes as the named service. Throws for what is served already or not implemented. */
  serve(service: string, routes: readonly Route[], store?: KeyStore): void {
    const door = this.#doors.get(service) ?? new ConcurrencyLimiter(this.#options.limits);
    this.#doors.set(service, door);
    for (const route of routes)
      for (const contract of methodsOf(route.service)) {
        const { localName, input } = contract.method;
        const key = keyOf(service, route.service, localName);
        const name = `${route.service.typeName}.${contract.method.name}`;
        // A generic route's handlers have no static type: their contract is checked where they were implemented.
        const handlers = route.implementation as Readonly<Record<string, AnyHandler | undefined>>;
        const handler = handlers[localName];
        if (this.#methods.has(key)) throw new Error(`${service} serves ${name} twice`);
        if (handler === undefined) throw new Error(`${service} does not implement ${name}`);
        checkKeyed(handler, contract);
        // A handler in a keyed form is a unary method's: `checkKeyed` has seen to it.
        const answer =
          typeof handler === "function" ? handler.bind(handlers) : honourKey(handler, contract.method as DescMethodUnary, store);
        this.#methods.set(key, { name, service, contract, validate: validatorOf(input), answer, door, urgent: isUrgent(contract) });
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

  /** Answers a call of a unary method. Refuses, and never with anything but a refusal. */
  async perform(method: ServedMethod, request: Fields, call: Call): Promise<Message> {
    const message = this.#checked(method, request, call);
    const throughDoor = call.caller === edgeCaller;
    if (throughDoor) {
      const wait = method.door.enter(method.urgent, call.deadlineMs);
      if (wait !== undefined) {
        await this.#deadlines.within(call.deadlineMs, wait);
        if (this.#stopping) {
          method.door.leave();
          throw notServed(method.name);
        }
      }
    }
    this.#running++;
    return this.#deadlines.within(call.deadlineMs, this.#run(method, message, call, throughDoor));
  }

  /** Answers a call of a method that streams. What has been asked for ends at the call's deadline, when its reader leaves, and when this process stops. */
  async *stream(method: ServedMethod, request: Fields, call: Call): AsyncGenerator<Message> {
    const message = this.#checked(method, request, call);
    if (this.#stopping) throw notServed(method.name);
    if (this.#streams.size >= streamsMax) throw refuse({ reason: "OVERLOADED", code: "unavailable", retryAfterMs: 1000 });
    if (call.caller === edgeCaller) method.door.refuseWhenFull(method.urgent);
    const end = new AbortController();
    this.#streams.add(end);
    const own = call.with({ idempotencyKey: call.idempotencyKey, signal: AbortSignal.any([call.signal, end.signal]) });
    try {
      const answers = method.answer(message, own) as AsyncIterable<Fields>; // the contract says that it streams
      for await (const answer of answers) yield this.#reply(method, answer);
      if (this.#stopping) throw notServed(method.name);
      own.check();
    } catch (error) {
      // One that was ended may say so by an error of its own.
      if (refusalIn(error) === undefined && own.signal.aborted) {
        if (this.#stopping) throw notServed(method.name);
        own.check();
      }
      throw refusalFor(error, { log: this.#options.log, call, method: method.name });
    } finally {
      end.abort();
      this.#streams.delete(end);
    }
  }

  /** Takes no more calls, ends streams, and waits for calls under way with those that they make. */
  async stop(): Promise<void> {
    this.#stopping = true;
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

  #checked(method: ServedMethod, request: Fields, call: Call): Message {
    forbidInTransaction(`call of ${method.name}`);
    if (!this.takesFrom(call.caller)) throw notServed(method.name);
    call.check();
    checkAccess(method.contract, call);
    const { input } = method.contract.method;
    const message: Message = isMessage(request, input) ? request : create(input, request);
    method.validate(message);
    return this.#options.freeze === true ? deepFreeze(message) : message;
  }

  /** Holds its place until the handler is done, even when the caller has stopped waiting: that is what is being limited. */
  async #run(method: ServedMethod, message: Message, call: Call, throughDoor: boolean): Promise<Message> {
    try {
      return this.#reply(method, await (method.answer(message, call) as Promise<Fields>)); // the contract says that it is unary
    } catch (error) {
      throw refusalFor(error, { log: this.#options.log, call, method: method.name });
    } finally {
      if (throughDoor) method.door.leave();
      if (--this.#running === 0) this.#idle?.();
    }
  }

  #reply({ contract }: ServedMethod, answer: Fields): Message {
    const { output } = contract.method;
    const reply: Message = isMessage(answer, output) ? answer : create(output, answer);
    return this.#options.freeze === true ? deepFreeze(reply) : reply;
  }
}

const keyOf = (service: string, contract: DescService, method: string) => `${service} ${contract.typeName} ${method}`;

/** The refusal for what is not served here, or not any more. The name is for the log: what a caller sees says nothing of the inside. */
export function notServed(what: string): Refusal {
  return refuse({
    reason: "DEPENDENCY_UNAVAILABLE",
    code: "unavailable",
    retryAfterMs: 1000,
    cause: new Error(`${what} is not served here`),
  });
}
