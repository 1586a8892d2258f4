import type { DescService, Message } from "@bufbuild/protobuf";
import type { Call } from "../call/call.ts";
import type { Fields } from "./interceptors.ts";
import { notServed } from "./faults.ts";
import type { Client, Rpc } from "./rpc.ts";
import { ServedMethods } from "./served-methods.ts";
import type { ServedMethod, ServedMethodsOptions } from "./served-methods.ts";
import type { Remotes } from "./transport.ts";

export interface InProcessRpcOptions extends ServedMethodsOptions {
  /** Clients of the services that run elsewhere; none by default. */
  readonly remotes?: Remotes;
}

/** Rpc with what this process's servers offer to others. */
export interface InProcessRpc extends Rpc {
  readonly methods: ServedMethods;
}

interface LocalCaller {
  readonly service: string;
  readonly caller: string;
  readonly admitted: boolean;
}

type AnyClient = Record<string, (request: Fields, call: Call) => Promise<Message> | AsyncIterable<Message>>;

/** Rpc by direct calls to the services of this process, through the same steps as calls over a wire; over a wire to the services that run elsewhere. */
export function createInProcessRpc({ remotes, ...options }: InProcessRpcOptions): InProcessRpc {
  const methods = new ServedMethods(options);

  function localClient(contract: DescService, { service, caller, admitted }: LocalCaller): AnyClient {
    const client: AnyClient = {};
    for (const { localName, name, methodKind } of contract.methods) {
      let method: ServedMethod | undefined;
      const as = (call: Call) => (call.caller === caller ? call : call.with({ caller, idempotencyKey: call.idempotencyKey }));
      const found = () => (method ??= methods.find(service, contract, localName));
      const unknown = () => notServed(`${service} ${contract.typeName}.${name}`);
      client[localName] =
        methodKind === "server_streaming"
          ? (request, call) => {
              const served = found();
              return served === undefined ? failing(unknown()) : methods.stream(served, request, as(call), { admitted });
            }
          : (request, call) => {
              const served = found();
              return served === undefined ? Promise.reject(unknown()) : (admitted ? served.admitted : served.all).unary(request, as(call));
            };
    }
    return client;
  }

  return {
    methods,
    serve: (service, routes, store) => methods.serve(service, routes, store),
    clientsFor(caller, { admitted = false } = {}) {
      return {
        of: <S extends DescService>(service: string, contract: S) =>
          // The methods are those of the contract by construction; a mapped type cannot follow the loop.
          (remotes?.to(service)?.client(contract, caller) ?? localClient(contract, { service, caller, admitted })) as unknown as Client<S>,
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
