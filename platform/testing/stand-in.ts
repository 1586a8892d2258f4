import type { DescService } from "@bufbuild/protobuf";
import type { Call } from "../call/call.ts";
import { methodsOf } from "../contract/contract.ts";
import { ResourceKey } from "../call/resource-key.ts";
import type { SeenVersion } from "../database/seen-version.ts";
import { keyedPerResource, ownKey } from "../rpc/keyed.ts";
import { implement } from "../rpc/rpc.ts";
import type { Implementation, Route } from "../rpc/rpc.ts";
import { waiting } from "../rpc/waiting.ts";
import { Waker } from "../changes/waker.ts";

type Plain<Handler> = Extract<Handler, Function>;

export type StandInHandlers<S extends DescService> = { readonly [K in keyof Implementation<S>]?: Plain<Implementation<S>[K]> };

/** For tests, in place of a service: only some of its contract's methods, the others fail. What its contract says of keys and waits is not done. */
export function standIn<S extends DescService>(service: S, handlers: StandInHandlers<S>): Route {
  const some = handlers as Readonly<Record<string, ((request: unknown, call: Call) => Promise<never>) | undefined>>; // of whatever contract
  const implementation = Object.fromEntries(
    methodsOf(service).map(({ method: { localName }, keys, wait }) => {
      const handle = some[localName] ?? (() => Promise.reject(new Error(`${localName} is not part of this test`)));
      if (wait !== undefined) return [localName, waiting({ read: handle, isPending: () => false, watch: unwatched })];
      if (keys === "resource")
        return [localName, keyedPerResource((request, call, key, seen) => ignoring(seen, key, handle)(request, call))];
      return [
        localName,
        keys === "reply" ? ownKey((request, call, seen) => ignoring(seen, ResourceKey.none, handle)(request, call)) : handle,
      ];
    }),
  );
  return implement(service, implementation as unknown as Implementation<S>); // made of the contract's own methods
}

function ignoring<Request, Reply>(
  seen: SeenVersion,
  key: ResourceKey,
  handle: (request: Request, call: Call) => Promise<Reply>,
): (request: Request, call: Call) => Promise<Reply> {
  seen.comparedBefore();
  key.is(undefined);
  return handle;
}

const unwatched = () => ({ waker: new Waker(), version: undefined, close: () => undefined });
