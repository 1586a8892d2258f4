import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { Allow, Idempotency } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { LineSchema, ThingSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { Call } from "../call/call.ts";
import type { CallInit, User } from "../call/call.ts";
import { Refusal } from "../errors/refusal.ts";
import type { LogFields, Logger } from "../telemetry/logger.ts";
import type { ConcurrencyLimits } from "./concurrency-limiter.ts";
import { describeService } from "./describe-service.ts";
import { ownKey } from "./keyed.ts";
import { implement } from "./rpc.ts";
import type { Clients, Implementation, Route } from "./rpc.ts";

// The service that the tests of rpc serve and call.

const line = { input: LineSchema, output: ThingSchema, rest: { idempotency: Idempotency.NONE } } as const;

/** The contract: one method for each kind of access. */
export const GreeterService = describeService("kontor.testing.v1.GreeterService", {
  greet: { ...line, allow: [Allow.PUBLIC] },
  buy: { ...line, allow: [Allow.PUBLIC], rest: { idempotency: Idempotency.REQUIRED } },
  whoAmI: { ...line, allow: [Allow.AUTHENTICATED] },
  manage: { ...line, allow: [Allow.ADMIN, Allow.SUPPORT] },
  inside: { ...line, allow: [Allow.INTERNAL] },
  /** Named callers are checked where a call comes over a wire. */
  ledger: { ...line, allow: [Allow.INTERNAL], callers: ["orders"] },
  nobody: { ...line },
  watch: { ...line, allow: [Allow.PUBLIC], streams: true },
  watchInside: { ...line, allow: [Allow.INTERNAL], streams: true },
});

export type GreeterHandlers = Implementation<typeof GreeterService>;

const nothing = async () => ({});
async function* nothingAtAll() {}

/** Replies with empty messages. */
export const greeterHandlers: GreeterHandlers = {
  greet: nothing,
  buy: ownKey(nothing),
  whoAmI: nothing,
  manage: nothing,
  inside: nothing,
  ledger: nothing,
  nobody: nothing,
  watch: nothingAtAll,
  watchInside: nothingAtAll,
};

export interface RpcUnderTest {
  clientsFor(caller: string): Clients;
  stop(): Promise<void>;
}

/** Serves the services and gives clients for them, however the engine does it. */
export type OpenRpc = (options: {
  readonly services: Readonly<Record<string, readonly Route[]>>;
  readonly log: Logger;
  readonly limits?: Partial<ConcurrencyLimits>;
}) => Promise<RpcUnderTest>;
export const tea = { sku: "tea", quantity: 1 } as const;
export const ann: User = { id: "usr_ann", session: "ses_1", roles: [], verified: true };
export const admin: User = { id: "usr_admin", session: "ses_2", roles: ["admin"], verified: true };

/** A call with 20 s, unless `init` says otherwise. */
export const callOf = (init: Partial<CallInit> = {}) => new Call({ caller: "test", deadlineMs: performance.now() + 20_000, ...init });

/** Serves a greeter by this engine; the faults are what it has logged as errors. */
export async function openGreeter(open: OpenRpc, handlers: Partial<GreeterHandlers> = {}, limits?: Partial<ConcurrencyLimits>) {
  const faults: LogFields[] = [];
  const silent = () => undefined;
  const log: Logger = { debug: silent, info: silent, warn: silent, error: (fields) => void faults.push(fields), child: () => log };
  const rpc = await open({
    services: { greeter: [implement(GreeterService, { ...greeterHandlers, ...handlers })] },
    log,
    ...(limits && { limits }),
  });
  return {
    rpc,
    faults,
    of: (caller: string) => rpc.clientsFor(caller).of("greeter", GreeterService),
    [Symbol.asyncDispose]: () => rpc.stop(),
  };
}

/** The refusal that a call fails with. Fails the test when it succeeds, or with another error. */
export async function refusalOf(call: Promise<unknown>): Promise<Refusal> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof Refusal, String(error));
    return error;
  }
  return assert.fail("it was not refused");
}

export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Lets other callbacks run. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}
