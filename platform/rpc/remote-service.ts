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
/** A call that had less time than this and did not make it says nothing about the callee. */
const fairMs = 500;

/**
 * A service that runs elsewhere, as its callers see it: like one in this process, except that it may be away. What may be done twice without
 * harm (a read, or a write with its idempotency key) is tried again within its deadline and a budget; a callee that does not answer is
 * left alone for a while.
 */
export function createRemoteService(options: RemoteServiceOptions): RemoteService & { figures(): RemoteFigures } {
  const { service, transport, log, random = Math.random, pause = delay } = options;
  const breaker = new Breaker(options.breaker);
  const budget = new RetryBudget();
  const counts = { calls: 0, failures: 0, retries: 0 };

  function enter(method: MethodContract, request: Record<string, unknown>, call: Call): Message {
    forbidInTransaction(`call of ${nameOf(method)}`);
    call.check();
    if (!breaker.admits()) throw away(service, `${service} did not answer lately and is left alone for a moment`);
    counts.calls++;
    const { input } = method.method;
    return isMessage(request, input) ? request : create(input, request);
  }

  /** Counts how a call ended; gives what its caller is told. */
  function failure(error: unknown, call: Call, method: MethodContract, hadMs: number): Error {
    const refusal = error instanceof TransportFailure ? undefined : refusalIn(error);
    if (refusal !== undefined && refusal.code !== "deadline_exceeded") {
      breaker.succeeded();
      return refusal;
    }
    // Who had no time for it, went away, or waited for news that did not come, says nothing about the callee.
    if (refusal !== undefined && (hadMs < fairMs || call.callerSignal?.aborted === true || method.streams)) return refusal;
    const before = breaker.state;
    counts.failures++;
    breaker.failed();
    if (before !== "open" && breaker.state === "open")
      log.warn({ callee: service, call, error, method: nameOf(method) }, "a service does not answer");
    return refusal ?? away(service, error);
  }

  async function unary(method: MethodContract, request: Record<string, unknown>, call: Call): Promise<Message> {
    const message = enter(method, request, call);
    const repeatable = call.idempotencyKey !== undefined || method.reads;
    budget.called();
    for (let tries = 1; ; tries++) {
      const hadMs = call.remainingMs();
      try {
        const answer = await transport.unary(method, message, call);
        breaker.succeeded();
        return answer;
      } catch (error) {
        const told = failure(error, call, method, hadMs);
        if (!(error instanceof TransportFailure) || !(repeatable || error.notExecuted) || tries === triesMax) throw told;
        const pauseMs = backoffMs(backoff, tries, random);
        if (breaker.state === "open" || pauseMs >= call.remainingMs() || !budget.take()) throw told;
        await pause(pauseMs);
        if (call.callerSignal?.aborted === true || call.remainingMs() <= 0 || !breaker.admits()) throw told;
        counts.retries++;
      }
    }
  }

  async function* stream(method: MethodContract, request: Record<string, unknown>, call: Call): AsyncGenerator<Message> {
    const message = enter(method, request, call);
    const hadMs = call.remainingMs();
    let answered = false;
    try {
      for await (const answer of transport.stream(method, message, call)) {
        if (!answered) breaker.succeeded();
        answered = true;
        yield answer;
      }
      if (!answered) breaker.succeeded();
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

const nameOf = ({ service, method }: MethodContract) => `${service.typeName}.${method.name}`;

function away(service: string, cause: unknown) {
  return refuse({
    reason: "DEPENDENCY_UNAVAILABLE",
    code: "unavailable",
    retryAfterMs: 1000,
    cause: cause instanceof Error ? cause : new Error(`${service}: ${String(cause)}`),
  });
}
