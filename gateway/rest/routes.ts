import findMyWay from "find-my-way";
import type { HTTPMethod } from "find-my-way";
import { getOption } from "@bufbuild/protobuf";
import type { DescService, Message } from "@bufbuild/protobuf";
import { access, Allow, Idempotency } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { methodsOf } from "@kontor/platform/contract/contract.ts";
import type { HttpBinding, MethodContract } from "@kontor/platform/contract/contract.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { isUrgent } from "@kontor/platform/rpc/concurrency-limiter.ts";
import { edgeCaller } from "@kontor/platform/rpc/access.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { Rpc } from "@kontor/platform/rpc/rpc.ts";
import { answerWriter } from "./response-writer.ts";
import type { WriteAnswer } from "./response-writer.ts";
import { takesSecret } from "../edge/brute-force-limits.ts";
import { streamWords } from "./event-stream.ts";
import type { StreamWords } from "./event-stream.ts";
import type { Page } from "../pages/page.ts";
import { requestReader } from "./request-message.ts";
import type { ReadRequest } from "./request-message.ts";

/** A method of a service at one verb and path. */
export interface RpcRoute {
  readonly kind: "rpc";
  /** "/v1/orders/{order}": what may stand in a log, unlike the path itself. */
  readonly template: string;
  readonly verb: HTTPMethod;
  readonly service: string;
  readonly contract: MethodContract;
  readonly read: ReadRequest;
  readonly write: WriteAnswer;
  readonly invoke: (request: Message, call: Call) => Promise<Message>;
  /** For a method that streams, instead of `invoke`. */
  readonly stream: (StreamWords & { readonly open: (request: Message, call: Call) => AsyncIterable<Message> }) | undefined;
  readonly takesBody: boolean;
  readonly rawBody: boolean;
  readonly urgent: boolean;
  readonly keyRequired: boolean;
  readonly isPublic: boolean;
  /** A token that is sent, perhaps an old one, is not looked at. */
  readonly ignoresToken: boolean;
  /** Whether what is sent may be a guess at a password or a code. */
  readonly takesSecret: boolean;
  readonly cacheControl: string;
}

/** A page of the gateway's own. */
export interface PageRoute {
  readonly kind: "page";
  readonly template: string;
  readonly verb: "GET";
  readonly page: Page;
}

export type Route = RpcRoute | PageRoute;

export interface Match {
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
}

export interface RouteTable {
  /** The route, by verb and path without query. Refuses `ROUTE_NOT_FOUND`, and `METHOD_NOT_ALLOWED` for a path that has other verbs. */
  find(verb: string, path: string): Match;
  /** The verbs that a path knows, for `Allow`; empty for a path that is not known. */
  verbsAt(path: string): readonly string[];
  readonly routes: readonly Route[];
}

/** Every method with an http binding of every service that is served, the pages, and nothing else. */
export function createRouteTable(rpc: Pick<Rpc, "served" | "clientsFor">, pages: readonly PageRoute[]): RouteTable {
  const routes = [...pages, ...rpcRoutes(rpc)];
  const router = findMyWay({ caseSensitive: true, ignoreTrailingSlash: false, ignoreDuplicateSlashes: false, maxParamLength: 200 });
  const verbs = new Set<HTTPMethod>();
  for (const route of routes) {
    router.on(route.verb, pathOf(route.template), unused, route);
    verbs.add(route.verb);
    if (headOf(route)) {
      router.on("HEAD", pathOf(route.template), unused, route);
      verbs.add("HEAD");
    }
  }
  const lookUp = (verb: HTTPMethod, path: string): Match | undefined => {
    const found = router.find(verb, path);
    if (found === null) return undefined;
    // The router takes nothing for a parameter too: "/v1/products/" is not a product.
    for (const name in found.params) if (found.params[name] === "") return undefined;
    return { route: found.store as Route, params: found.params as Record<string, string> };
  };
  const verbsAt = (path: string): string[] => [...verbs].filter((verb) => lookUp(verb, path) !== undefined).sort();
  return {
    routes,
    verbsAt,
    find(verb, path) {
      // A verb that is none of HTTP's finds nothing.
      const found = lookUp(verb as HTTPMethod, path);
      if (found !== undefined) return found;
      const others = verbsAt(path);
      if (others.length === 0) throw refuse({ reason: "ROUTE_NOT_FOUND", code: "not_found" });
      throw refuse({ reason: "METHOD_NOT_ALLOWED", code: "unimplemented", details: { allow: others } });
    },
  };
}

function* rpcRoutes(rpc: Pick<Rpc, "served" | "clientsFor">): Generator<RpcRoute> {
  const clients = rpc.clientsFor(edgeCaller);
  for (const [service, served] of rpc.served())
    for (const { service: description } of served) {
      const client = clients.of<DescService>(service, description) as Readonly<Record<string, RpcRoute["invoke"]>>;
      for (const contract of methodsOf(description))
        for (const binding of contract.bindings) yield rpcRoute({ service, contract, binding, invoke: client[contract.method.localName]! });
    }
}

function rpcRoute(of: { service: string; contract: MethodContract; binding: HttpBinding; invoke: RpcRoute["invoke"] }): RpcRoute {
  const { service, contract, binding, invoke } = of;
  const { rest, allow, method } = contract;
  // A path that nobody may use is a mistake in the contract; answering 403 would hide it.
  if (allow.every((who) => who === Allow.INTERNAL))
    throw new Error(`${method.parent.typeName}.${method.name} has a path but nobody at the edge may call it`);
  const names = new Set(method.input.fields.map((field) => field.name));
  for (const name of paramsOf(binding.path))
    if (!names.has(name)) throw new Error(`${binding.path}: ${method.input.typeName} has no field ${name}`);
  const isPublic = allow.includes(Allow.PUBLIC);
  const rawBody = rest?.rawBody === true;
  const ignoresToken = isPublic && getOption(method, access).anonymous;
  return {
    kind: "rpc",
    template: binding.path,
    verb: binding.verb,
    service,
    contract,
    invoke,
    stream: contract.streams
      ? { ...streamWords(contract), open: invoke as unknown as NonNullable<RpcRoute["stream"]>["open"] } // the contract says that it streams
      : undefined,
    read: requestReader(contract, binding),
    write: answerWriter(contract),
    takesBody: rawBody || binding.body === "*",
    rawBody,
    urgent: isUrgent(contract),
    keyRequired: rest?.idempotency === Idempotency.REQUIRED,
    isPublic,
    ignoresToken,
    takesSecret: ignoresToken && takesSecret(contract),
    cacheControl: isPublic && rest !== undefined && rest.cacheControl !== "" ? rest.cacheControl : "no-store",
  };
}

/** HEAD asks what GET would answer, without effect; a GET that redirects may have one. */
function headOf(route: Route): boolean {
  if (route.verb !== "GET") return false;
  return route.kind === "page" || (route.stream === undefined && (route.contract.rest?.redirect ?? "") === "");
}

const paramsOf = (template: string): string[] => [...template.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name!);

/** "/v1/orders/{order}/cancel" in the router's words. */
function pathOf(template: string): string {
  if (!/^\/(?:[\w.~-]+|\{[a-z0-9_]+\}|\/)*$/.test(template)) throw new Error(`the path ${template} is not plain enough`);
  return template.replaceAll(/\{([^}]+)\}/g, ":$1");
}

const unused = (): void => undefined;
