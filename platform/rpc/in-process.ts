import type { DescService, Message } from "@bufbuild/protobuf";
import type { Call } from "../call/call.ts";
import type { Client, Rpc } from "./rpc.ts";
import { notServed, ServedMethods } from "./served-methods.ts";
import type { Fields, ServedMethod, ServedMethodsOptions } from "./served-methods.ts";
import type { Remotes } from "./transport.ts";

export interface InProcessRpcOptions extends ServedMethodsOptions {
  /** The ways to services that run elsewhere; none by default. */
  readonly remotes?: Remotes;
}

/** Rpc with what the servers of this process need: they offer to others what is served here. */
export interface InProcessRpc extends Rpc {
  readonly methods: ServedMethods;
}

type AnyClient = Record<string, (request: Fields, call: Call) => Promise<Message> | AsyncIterable<Message>>;

/** Rpc by direct calls, with everything that a wire would do; by a wire to the services that run elsewhere. */
export function createInProcessRpc({ remotes, ...options }: InProcessRpcOptions): InProcessRpc {
  const methods = new ServedMethods(options);

  function localClient(caller: string, service: string, contract: DescService): AnyClient {
    const client: AnyClient = {};
    for (const { localName, name, methodKind } of contract.methods) {
      let method: ServedMethod | undefined;
      const as = (call: Call) => (call.caller === caller ? call : call.with({ caller, idempotencyKey: call.idempotencyKey }));
      const found = () => (method ??= methods.find(service, contract, localName));
      const away = () => notServed(`${service} ${contract.typeName}.${name}`);
      client[localName] =
        methodKind === "server_streaming"
          ? (request, call) => {
              const served = found();
              return served === undefined ? failing(away()) : methods.stream(served, request, as(call));
            }
          : (request, call) => {
              const served = found();
              return served === undefined ? Promise.reject(away()) : methods.perform(served, request, as(call));
            };
    }
    return client;
  }

  return {
    methods,
    serve: (service, routes, store) => methods.serve(service, routes, store),
    clientsFor(caller) {
      return {
        of: <S extends DescService>(service: string, contract: S) =>
          // The methods are those of the contract by construction; a mapped type cannot follow the loop.
          (remotes?.to(service)?.client(contract, caller) ?? localClient(caller, service, contract)) as unknown as Client<S>,
      };
    },
    served: () => methods.routes,
    stop: () => methods.stop(),
  };
}

// oxlint-disable-next-line require-yield -- a stream that fails at its first message
async function* failing(error: Error): AsyncGenerator<never> {
  throw error;
}
