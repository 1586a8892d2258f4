import { setTimeout as delay } from "node:timers/promises";
import { create, isMessage } from "@bufbuild/protobuf";
import type { DescService, Message } from "@bufbuild/protobuf";
import { methodsOf } from "../contract/contract.ts";
import type { MethodContract } from "../contract/contract.ts";
import { forbidInTransaction } from "../database/in-transaction.ts";
import { refusalIn, refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { backoffMs } from "../retry/backoff.ts";
import { Breaker } from "./breaker.ts";
import type { BreakerOptions } from "./breaker.ts";
import type { Call } from "../call/call.ts";
import { RetryBudget } from "./retry-budget.ts";
import { TransportFailure } from "./transport.ts";
import type { RemoteFigures, RemoteMethod, RemoteService, Transport } from "./transport.ts";

export interface RemoteServiceOptions {
  readonly service: string;
  readonly transport: Transport;
  readonly log: Logger;
  readonly breaker?: Partial<BreakerOptions>;
  /** 0 to 1, for the jitter. */
  readonly random?: () => number;
  /** Waits so many milliseconds before a call is tried again. */
  readonly pause?: (ms: number) => Promise<unknown>;
}

const triesMax = 4;
const backoff = { pauseMsMin: 25, pauseMsMax: 1_000, jitter: 0.5 };
/** A call that had less time than this and missed its deadline is no failure of the callee. */
const fairMs = 500;

/**
 * Clients of a service that runs elsewhere: like those of one in this process, except that it may be unavailable. A call that may be repeated
 * (a read that does not wait for a change, or a write whose contract lets an idempotency key make it so) is retried within its deadline and a budget; a circuit breaker rests a callee that does not respond.
 */
export function createRemoteService(options: RemoteServiceOptions): RemoteService & { figures(): RemoteFigures } {
  const { service, transport, log, random = Math.random, pause = delay } = options;
  const breaker = new Breaker(options.breaker);
  const budget = new RetryBudget();
  const counts = { calls: 0, failures: 0, retries: 0 };

  function enter(method: MethodContract, request: Record<string, unknown>, call: Call): Message {
    forbidInTransaction(`call of ${nameOf(method)}`);
    call.check();
    if (!breaker.admits()) throw unavailable(service, `the circuit breaker of ${service} is open`);
    counts.calls++;
    const { input } = method.method;
    return isMessage(request, input) ? request : create(input, request);
  }

  /** Counts how a call ended; returns the error that its caller gets. */
  function failure(error: unknown, call: Call, method: MethodContract, hadMs: number, waits = false): Error {
    const refusal = error instanceof TransportFailure ? undefined : refusalIn(error);
    if (refusal !== undefined && refusal.code !== "deadline_exceeded") {
      breaker.succeeded();
      return refusal;
    }
    // A caller that left too little time, cancelled, or waited for messages that did not come says nothing about the callee.
    if (refusal !== undefined && (hadMs < fairMs || call.callerSignal?.aborted === true || method.streams)) return refusal;
    // Any number of calls wait at one process of several, and all break at once when that one ends.
    if (waits && error instanceof TransportFailure && !error.notExecuted) return unavailable(service, error);
    const before = breaker.state;
    counts.failures++;
    breaker.failed();
    if (before !== "open" && breaker.state === "open")
      log.warn({ callee: service, call, error, method: nameOf(method) }, "a service does not respond");
    return refusal ?? unavailable(service, error);
  }

  async function unary(method: MethodContract, request: Record<string, unknown>, call: Call): Promise<Message> {
    const waits = waitsForChange(method, request);
    // As a probe, a call that waits would keep all others out for as long: a read that does not wait goes before it.
    if (waits && breaker.state !== "closed") await unary(method, withoutWait(method, request), call);
    const message = enter(method, request, call);
    const repeatable = (method.reads && !waits) || (call.idempotencyKey !== undefined && method.repeatableWithKey);
    budget.called();
    for (let tries = 1; ; tries++) {
      const hadMs = call.remainingMs();
      try {
        const reply = await transport.unary(method, message, call);
        breaker.succeeded();
        return reply;
      } catch (error) {
        const failed = failure(error, call, method, hadMs, waits);
        if (!(error instanceof TransportFailure) || !(repeatable || error.notExecuted) || tries === triesMax) throw failed;
        const pauseMs = backoffMs(backoff, tries, random);
        if (breaker.state === "open" || pauseMs >= call.remainingMs() || !budget.take()) throw failed;
        await pause(pauseMs);
        if (call.callerSignal?.aborted === true || call.remainingMs() <= 0 || !breaker.admits()) throw failed;
        counts.retries++;
      }
    }
  }

  async function* stream(method: MethodContract, request: Record<string, unknown>, call: Call): AsyncGenerator<Message> {
    const message = enter(method, request, call);
    const hadMs = call.remainingMs();
    let replied = false;
    try {
      for await (const reply of transport.stream(method, message, call)) {
        if (!replied) breaker.succeeded();
        replied = true;
        yield reply;
      }
      if (!replied) breaker.succeeded();
    } catch (error) {
      throw failure(error, call, method, hadMs);
    }
  }

  return {
    client(contract: DescService, caller: string) {
      const client: Record<string, RemoteMethod> = {};
      for (const method of methodsOf(contract)) {
        const as = (call: Call) => (call.caller === caller ? call : call.with({ caller, idempotencyKey: call.idempotencyKey }));
        client[method.method.localName] = method.streams
          ? (request, call) => stream(method, request, as(call))
          : (request, call) => unary(method, request, as(call));
      }
      return client;
    },
    figures: () => ({ service, breaker: breaker.state, ...counts }),
  };
}

function waitsForChange({ wait }: MethodContract, request: Record<string, unknown>): boolean {
  return wait !== undefined && request[wait.localName] !== undefined;
}

function withoutWait({ wait, method }: MethodContract, request: Record<string, unknown>): Record<string, unknown> {
  const copy: Record<string, unknown> = { ...request };
  if (wait !== undefined) delete copy[wait.localName];
  return create(method.input, copy) as Message & Record<string, unknown>;
}

const nameOf = ({ service, method }: MethodContract) => `${service.typeName}.${method.name}`;

function unavailable(service: string, cause: unknown) {
  return refuse({
    reason: "DEPENDENCY_UNAVAILABLE",
    code: "unavailable",
    retryAfterMs: 1000,
    cause: cause instanceof Error ? cause : new Error(`${service}: ${String(cause)}`),
  });
}
