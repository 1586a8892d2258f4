import { create, isMessage } from "@bufbuild/protobuf";
import type { DescMethodUnary, DescService, Message } from "@bufbuild/protobuf";
import { methodsOf } from "../contract/contract.ts";
import type { MethodContract } from "../contract/contract.ts";
import { validatorOf } from "../contract/validate.ts";
import { forbidInTransaction } from "../database/in-transaction.ts";
import { refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { checkAccess, edgeCaller } from "./access.ts";
import { Admission, isUrgent } from "./admission.ts";
import type { AdmissionLimits } from "./admission.ts";
import type { Call } from "./call.ts";
import { Deadlines } from "./deadlines.ts";
import { refusalFor } from "./faults.ts";
import { deepFreeze } from "./freeze.ts";
import type { Client, Rpc, Route } from "./rpc.ts";

export interface InProcessRpcOptions {
  readonly log: Logger;
  /** For each service, on calls that come from the edge. Calls within the house pass: they hold a place already. */
  readonly limits?: Partial<AdmissionLimits>;
  /** Freezes requests and answers, so that whoever changes one is found. For tests: it costs more than the call. */
  readonly freeze?: boolean;
}

type Fields = Record<string, unknown>;
type AnyHandler = (request: Message, call: Call) => Promise<Fields>;

interface ServedMethod {
  readonly name: string;
  readonly contract: MethodContract;
  readonly input: DescMethodUnary["input"];
  readonly output: DescMethodUnary["output"];
  readonly validate: (message: Message) => void;
  readonly handle: AnyHandler;
  readonly door: Admission;
  readonly urgent: boolean;
}

/** Rpc by direct calls, with everything that a wire would do: validation, access, identity, deadline, limits and errors. */
export function createInProcessRpc({ log, limits, freeze = false }: InProcessRpcOptions): Rpc {
  const served = new Map<string, readonly Route[]>();
  const methods = new Map<string, ServedMethod>();
  const doors = new Map<string, Admission>();
  const deadlines = new Deadlines();
  let running = 0;
  let stopping = false;
  let idle: (() => void) | undefined;

  async function perform(method: ServedMethod, request: Fields, call: Call): Promise<Message> {
    forbidInTransaction(`call of ${method.name}`);
    // While others are under way theirs go on, or stopping would break them halfway.
    if (stopping && (call.caller === edgeCaller || running === 0)) throw away(method.name);
    call.check();
    checkAccess(method.contract, call);
    const message: Message = isMessage(request, method.input) ? request : create(method.input, request);
    method.validate(message);
    if (freeze) deepFreeze(message);
    const throughDoor = call.caller === edgeCaller;
    if (throughDoor) {
      const wait = method.door.enter(method.urgent, call.deadlineMs);
      if (wait !== undefined) {
        await deadlines.within(call.deadlineMs, wait);
        if (stopping) {
          method.door.leave();
          throw away(method.name);
        }
      }
    }
    running++;
    return deadlines.within(call.deadlineMs, run(method, message, call, throughDoor));
  }

  /** Holds its place until the handler is done, even when the caller has stopped waiting: that is what is being limited. */
  async function run(method: ServedMethod, message: Message, call: Call, throughDoor: boolean): Promise<Message> {
    try {
      const answer = await method.handle(message, call);
      const reply: Message = isMessage(answer, method.output) ? answer : create(method.output, answer);
      return freeze ? deepFreeze(reply) : reply;
    } catch (error) {
      throw refusalFor(error, { log, call, method: method.name });
    } finally {
      if (throughDoor) method.door.leave();
      if (--running === 0) idle?.();
    }
  }

  function clientOf(
    caller: string,
    service: string,
    contract: DescService,
  ): Record<string, (request: Fields, call: Call) => Promise<Message>> {
    const client: Record<string, (request: Fields, call: Call) => Promise<Message>> = {};
    for (const { localName, name } of contract.methods) {
      const key = keyOf(service, contract, localName);
      let method: ServedMethod | undefined;
      client[localName] = (request, call) => {
        method ??= methods.get(key);
        if (method === undefined) return Promise.reject(away(`${service} ${contract.typeName}.${name}`));
        return perform(method, request, call.caller === caller ? call : call.with({ caller, idempotencyKey: call.idempotencyKey }));
      };
    }
    return client;
  }

  return {
    serve(service, routes) {
      const door = doors.get(service) ?? new Admission(limits);
      doors.set(service, door);
      for (const route of routes)
        for (const contract of methodsOf(route.service)) {
          const { localName, input, output } = contract.method;
          const key = keyOf(service, route.service, localName);
          const name = `${route.service.typeName}.${contract.method.name}`;
          // A generic route's handlers have no static type: their contract is checked where they were implemented.
          const handlers = route.implementation as Readonly<Record<string, AnyHandler | undefined>>;
          if (methods.has(key)) throw new Error(`${service} serves ${name} twice`);
          if (typeof handlers[localName] !== "function") throw new Error(`${service} does not implement ${name}`);
          const handle: AnyHandler = handlers[localName].bind(handlers);
          methods.set(key, { name, contract, input, output, validate: validatorOf(input), handle, door, urgent: isUrgent(contract) });
        }
      served.set(service, [...(served.get(service) ?? []), ...routes]);
    },
    clientsFor(caller) {
      return {
        of: <S extends DescService>(service: string, contract: S) =>
          // The methods are those of the contract by construction; a mapped type cannot follow the loop.
          clientOf(caller, service, contract) as unknown as Client<S>,
      };
    },
    served: () => served,
    async stop() {
      stopping = true;
      if (running === 0) return;
      await new Promise<void>((resolve) => {
        const others = idle;
        idle = () => {
          others?.();
          resolve();
        };
      });
    },
  };
}

const keyOf = (service: string, contract: DescService, method: string) => `${service} ${contract.typeName} ${method}`;

function away(what: string) {
  // The name is for the log: what a caller sees says nothing of the inside.
  return refuse({
    reason: "DEPENDENCY_UNAVAILABLE",
    code: "unavailable",
    retryAfterMs: 1000,
    cause: new Error(`${what} is not served here`),
  });
}
