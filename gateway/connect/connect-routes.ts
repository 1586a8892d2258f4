import { connectPath } from "@kontor/platform/rpc/connect/read-request.ts";
import type { Target } from "../edge/target.ts";
import { messageReader } from "./connect-request.ts";
import type { ReadMessage } from "./connect-request.ts";

/** A method that clients may call by Connect's protocol. */
export interface ConnectRoute {
  readonly target: Target;
  /** "/kontor.catalog.v1.CatalogService/GetProduct". */
  readonly path: string;
  /** Whether nothing changes by it: its REST routes are all GET. */
  readonly readOnly: boolean;
  readonly read: ReadMessage;
}

/** Every target that has a route over REST, without those that are for browsers and webhooks: pages, redirects and raw bodies. */
export function connectRoutes(targets: Iterable<Target>): readonly ConnectRoute[] {
  return [...targets].filter(isForClients).map((target) => ({
    target,
    path: connectPath(target.contract),
    readOnly: target.contract.bindings.every(({ verb }) => verb === "GET"),
    read: messageReader(target.contract),
  }));
}

function isForClients({ contract: { bindings, rest } }: Target): boolean {
  if (bindings.length === 0) return false;
  return rest === undefined || (!rest.rawBody && rest.rawAnswer === "" && rest.redirect === "");
}
