import { create, isMessage } from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import type { Call } from "../call/call.ts";
import { Deadlines } from "../call/deadlines.ts";
import type { Wait } from "@kontor/contracts/gen/kontor/api/v1/common_pb.js";
import type { MethodContract } from "../contract/contract.ts";
import { forbidInTransaction } from "../database/in-transaction.ts";
import type { Logger } from "../telemetry/logger.ts";
import { checkAccess, edgeCaller } from "./access.ts";
import type { ConcurrencyLimiter } from "./concurrency-limiter.ts";
import { notServed, refusalFor } from "./faults.ts";
import { deepFreeze } from "./freeze.ts";
import { readOnceChanged } from "./waiting.ts";
import type { OpenWaits, WaitingRead } from "./waiting.ts";

// Everything between a caller and a handler, however the call came: in this process, over gRPC or over HTTP.
//
//   `checks`        before a handler, in their order; the same for unary calls and streams
//   `interceptors`  around a unary handler, outermost first
//   `outcomeOf`     the handler itself, with its count, its errors and its slot of the limiter
//   `honourKey`     (keyed.ts) innermost, for methods that honour an idempotency key
//
// The gateway checks access before it reads a body. What it then calls in its own process has been admitted, and that step is left out. The
// concurrency limit is not: it counts the calls of other gateways too, and handlers that are still at work after their caller's deadline.

/** A message, or what `create` makes one of. */
export type Fields = Record<string, unknown>;
export type Handle = (request: Message, call: Call) => Promise<Fields> | AsyncIterable<Fields>;

/** The process that serves, as far as the steps need it. */
export interface ServingProcess {
  readonly log: Logger;
  /** Freezes requests and replies. For tests. */
  readonly freeze: boolean;
  /** Whether a caller's new calls are taken: see `ServedMethods.takesFrom`. */
  takesFrom(caller: string): boolean;
  readonly waits: OpenWaits;
  begin(): void;
  end(): void;
}

/** A method as it is served: its contract, its handler, and what the steps need. */
export interface MethodInit {
  /** "kontor.orders.v1.OrdersService.GetOrder" */
  readonly name: string;
  readonly contract: MethodContract;
  readonly validate: (message: Message) => void;
  readonly handle: Handle;
  /** For a method that may wait for a change; `handle` is one read of it. */
  readonly waiting: WaitingRead<Message, Fields, Message> | undefined;
  readonly limiter: ConcurrencyLimiter;
  readonly urgent: boolean;
  readonly process: ServingProcess;
}

/** Refuses by throwing. */
type Check = (method: MethodInit, message: Message, call: Call) => void;
type Unary = (message: Message, call: Call) => Promise<Message>;
/** Wraps the next step, once for each method: a call makes no closures of these, and as few promises as it can. */
type Interceptor = (method: MethodInit, next: Unary) => Unary;

/** What waits for others must not hold locks. */
const outsideTransaction: Check = ({ name }) => forbidInTransaction(`call of ${name}`);

const notStopping: Check = ({ process, name }, _, { caller }) => {
  if (!process.takesFrom(caller)) throw notServed(name);
};

const beforeDeadline: Check = (_method, _message, call) => call.check();

const access: Check = ({ contract }, _, call) => checkAccess(contract, call);

const validation: Check = ({ validate }, message) => validate(message);

/** The caller gets DEADLINE_EXCEEDED at the deadline; the handler may still be at work, and keeps its slot of the limiter. */
const deadline: Interceptor = (_, next) => (message, call) => deadlines.within(call.deadlineMs, next(message, call));

/** A call that waits for a change is several reads with pauses between them: the steps after this one are those of each read. */
const wait: Interceptor = ({ waiting: handler, contract, process }, next) => {
  if (handler === undefined || contract.wait === undefined) return next;
  const field = contract.wait.localName;
  return async (request, call) => {
    const { [field]: sent } = request as unknown as Readonly<Record<string, Wait | undefined>>; // a message's fields are its properties
    if (sent === undefined || sent.forMs === 0) return next(request, call);
    process.begin();
    try {
      return await readOnceChanged({ handler, request, call, wait: sent, read: () => next(request, call), waits: process.waits });
    } finally {
      process.end();
    }
  };
};

/**
 * Limits what comes from the edge, until `outcomeOf` gives the slot back. Calls of services pass: they serve one that has been admitted, and would
 * wait for its slot.
 */
const concurrency: Interceptor = ({ limiter, urgent, process, name }, next) => {
  const after = async (wait: Promise<void>, message: Message, call: Call): Promise<Message> => {
    await wait;
    if (process.takesFrom(call.caller)) return next(message, call);
    limiter.leave(call.origin);
    throw notServed(name);
  };
  return (message, call) => {
    if (call.caller !== edgeCaller) return next(message, call);
    const wait = limiter.enter(urgent, call.deadlineMs, call.origin);
    return wait === undefined ? next(message, call) : after(wait, message, call);
  };
};

/**
 * Runs the handler. Counts calls under way, so that stopping waits for them; maps errors: a caller gets refusals, the log gets faults; and gives
 * back the slot that `concurrency` has taken.
 */
function outcomeOf(method: MethodInit): Unary {
  const { process, name, limiter } = method;
  return async (message, call) => {
    process.begin();
    try {
      return replyOf(method, await (method.handle(message, call) as Promise<Fields>)); // the contract says that it is unary
    } catch (error) {
      throw refusalFor(error, { log: process.log, call, method: name });
    } finally {
      process.end();
      if (call.caller === edgeCaller) limiter.leave(call.origin);
    }
  };
}

const checks: readonly Check[] = [outsideTransaction, notStopping, beforeDeadline, access, validation];
const interceptors: readonly Interceptor[] = [deadline, wait, concurrency];
const deadlines = new Deadlines();

export interface Steps {
  /** The request as a message, when no check refuses it. */
  readonly check: (request: Fields, call: Call) => Message;
  /** A unary call through all steps. */
  readonly unary: (request: Fields, call: Call) => Promise<Message>;
}

/** The steps of a method: all of them, or without the check of access, which the gateway has done. */
export function stepsOf(method: MethodInit, { admitted }: { readonly admitted: boolean }): Steps {
  const ownChecks = admitted ? checks.filter((check) => check !== access) : checks;
  const { input } = method.contract.method;
  const { freeze } = method.process;
  const check = (request: Fields, call: Call): Message => {
    const message: Message = isMessage(request, input) ? request : create(input, request);
    for (const each of ownChecks) each(method, message, call);
    return freeze ? deepFreeze(message) : message;
  };
  const intercepted = interceptors.reduceRight((next, wrap) => wrap(method, next), outcomeOf(method));
  const unary: Steps["unary"] = (request, call) => {
    try {
      return intercepted(check(request, call), call);
    } catch (error) {
      return Promise.reject(error); // checks and the limiter refuse by throwing
    }
  };
  return { check, unary };
}

/** What a handler gave, as the message that the contract names. */
export function replyOf({ contract, process }: MethodInit, reply: Fields): Message {
  const { output } = contract.method;
  const message: Message = isMessage(reply, output) ? reply : create(output, reply);
  return process.freeze ? deepFreeze(message) : message;
}
