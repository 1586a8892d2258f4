import type { DescService, Message } from "@bufbuild/protobuf";
import type { Call } from "@kontor/platform/call/call.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { createInProcessRpc } from "@kontor/platform/rpc/in-process.ts";
import type { Client, Clients, Rpc } from "@kontor/platform/rpc/rpc.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";

/** Before its service has done anything, or after it has done everything and before its caller knows. */
export type Moment = "before" | "after";

/** A call that stands still. */
export interface HeldCall {
  /** "orders.createOrder". */
  readonly method: string;
  readonly moment: Moment;
  /** The service that has called. */
  readonly caller: string;
  /** Has it go on. */
  resume(): void;
  /** Breaks its connection: the caller does not learn whether it was done. */
  cut(): void;
}

/** What happens to the calls between services. */
export interface Interruptions {
  /** The next call of this method stands still at this moment. Gives what takes that back. */
  holdNext(method: string, moment: Moment): () => void;
  /** The answer to the next call of this method is lost. */
  loseNext(method: string): void;
  /** No more of both. */
  clear(): void;
  /** Those that stand still. */
  readonly held: readonly HeldCall[];
  /** Resolves with the next call that stands still. */
  nextHeld(): Promise<HeldCall>;
  /** Called for each call that was done. */
  observed: (method: string, request: unknown) => void;
}

export interface InterruptedRpc {
  readonly rpc: Rpc;
  readonly calls: Interruptions;
}

type AnyClient = Record<string, (request: unknown, call: Call) => Promise<Message> | AsyncIterable<Message>>;

/** Performs a call of a service's method, unless it is interrupted. */
type Interrupted = (method: string, caller: string, request: unknown, perform: () => Promise<Message>) => Promise<Message>;

function openInterruptions(): { readonly calls: Interruptions; readonly interrupted: Interrupted } {
  const holds = new Map<string, Moment>();
  const losses = new Map<string, number>();
  const held: HeldCall[] = [];
  let arrival = Promise.withResolvers<HeldCall>();

  const standStill = (method: string, moment: Moment, caller: string): Promise<void> => {
    holds.delete(method);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const leave = (end: () => void) => () => {
      const at = held.indexOf(call);
      if (at < 0) return;
      held.splice(at, 1);
      end();
    };
    const call: HeldCall = { method, moment, caller, resume: leave(resolve), cut: leave(() => reject(unavailable())) };
    held.push(call);
    const { resolve: arrived } = arrival;
    arrival = Promise.withResolvers();
    arrived(call);
    return promise;
  };

  const calls: Interruptions = {
    holdNext: (method, moment) => {
      holds.set(method, moment);
      return () => void holds.delete(method);
    },
    loseNext: (method) => void losses.set(method, (losses.get(method) ?? 0) + 1),
    clear: () => {
      holds.clear();
      losses.clear();
    },
    held,
    nextHeld: () => arrival.promise,
    observed: () => undefined,
  };

  const interrupted: Interrupted = async (method, caller, request, perform) => {
    if (holds.get(method) === "before") await standStill(method, "before", caller);
    const reply = await perform();
    calls.observed(method, request);
    if (holds.get(method) === "after") await standStill(method, "after", caller);
    const lost = losses.get(method) ?? 0;
    if (lost === 0) return reply;
    losses.set(method, lost - 1);
    throw unavailable();
  };
  return { calls, interrupted };
}

/** Rpc in this process, in which calls can be interrupted, and in which a service that is served again takes the place of the one before. */
export function openInterruptedRpc(log: Logger): InterruptedRpc {
  const current = new Map<string, Rpc>();
  const all: Rpc[] = [];
  const { calls, interrupted } = openInterruptions();

  const clientsFor = (caller: string): Clients => ({
    of: <S extends DescService>(service: string, contract: S) => {
      const client: AnyClient = {};
      for (const { localName, methodKind } of contract.methods) {
        const perform = (request: unknown, call: Call) => {
          const rpc = current.get(service);
          if (rpc === undefined) throw new Error(`${service} is not served`);
          return (rpc.clientsFor(caller).of(service, contract) as unknown as AnyClient)[localName]!(request, call);
        };
        client[localName] =
          methodKind === "server_streaming"
            ? perform
            : (request, call) =>
                interrupted(`${service}.${localName}`, caller, request, async () => perform(request, call) as Promise<Message>);
      }
      return client as unknown as Client<S>; // of the contract's own methods
    },
  });

  const rpc: Rpc = {
    serve: (service, routes, store) => {
      const served = createInProcessRpc({ log, freeze: true });
      served.serve(service, routes, store);
      all.push(served);
      current.set(service, served);
    },
    clientsFor,
    served: () => new Map([...current.values()].flatMap((served) => [...served.served()])),
    stop: async () => void (await Promise.all(all.map((served) => served.stop()))),
  };
  return { rpc, calls };
}

function unavailable(): Error {
  return refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable", message: "The connection is lost" });
}
