import findMyWay from "find-my-way";
import type { HTTPMethod } from "find-my-way";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Exchange } from "./edge/exchange.ts";

/** A verb and path that requests come to, and what serves them. Every protocol's binding, and the pages, are routes. */
export interface Route {
  readonly verb: HTTPMethod;
  /** "/v1/orders/{order}": what may be logged, unlike the path itself. */
  readonly template: string;
  /** Whether HEAD is served like GET, without the body. */
  readonly servesHead: boolean;
  /** Sends the response, or rejects before it has begun: the error is sent as a problem then. The query is undecoded, and may be empty. */
  readonly serve: (exchange: Exchange, params: Readonly<Record<string, string>>, query: string) => Promise<void>;
}

export interface RouteMatch {
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
}

export interface RouteTable {
  /** The route, by verb and path without query. Refuses `ROUTE_NOT_FOUND`, and `METHOD_NOT_ALLOWED` for a path that has other verbs. */
  find(verb: string, path: string): RouteMatch;
  /** The verbs of a path, for `Allow`; empty for an unknown path. */
  verbsAt(path: string): readonly string[];
}

/** Throws for a template that is not plain, and for two routes with the same verb and path. */
export function createRouteTable(routes: readonly Route[]): RouteTable {
  const router = findMyWay({ caseSensitive: true, ignoreTrailingSlash: false, ignoreDuplicateSlashes: false, maxParamLength: 200 });
  const verbs = new Set<HTTPMethod>();
  for (const route of routes)
    for (const verb of route.servesHead ? [route.verb, "HEAD" as const] : [route.verb]) {
      router.on(verb, routerPath(route.template), unused, route);
      verbs.add(verb);
    }
  const lookUp = (verb: HTTPMethod, path: string): RouteMatch | undefined => {
    const found = router.find(verb, path);
    if (found === null) return undefined;
    // The router accepts an empty parameter: "/v1/products/" is not a product.
    for (const name in found.params) if (found.params[name] === "") return undefined;
    return { route: found.store as Route, params: found.params as Record<string, string> };
  };
  const verbsAt = (path: string): string[] => [...verbs].filter((verb) => lookUp(verb, path) !== undefined).sort();
  return {
    verbsAt,
    find(verb, path) {
      // An unknown verb finds nothing.
      const found = lookUp(verb as HTTPMethod, path);
      if (found !== undefined) return found;
      const others = verbsAt(path);
      if (others.length === 0) throw refuse({ reason: "ROUTE_NOT_FOUND", code: "not_found" });
      throw refuse({ reason: "METHOD_NOT_ALLOWED", code: "unimplemented", details: { allow: others } });
    },
  };
}

/** "/v1/orders/{order}/cancel" as the router writes it. */
function routerPath(template: string): string {
  if (!/^\/(?:[\w.~-]+|\{[a-z0-9_]+\}|\/)*$/.test(template)) throw new Error(`the path ${template} is not plain enough`);
  return template.replaceAll(/\{([^}]+)\}/g, ":$1");
}

const unused = (): void => undefined;
