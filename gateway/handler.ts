import type { IncomingMessage, ServerResponse } from "node:http";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Cors } from "./edge/cors.ts";
import { openExchange } from "./edge/exchange.ts";
import type { Exchange } from "./edge/exchange.ts";
import type { Responder } from "./edge/responder.ts";
import type { RouteTable } from "./route-table.ts";

export type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** Serves every request by its route, and preflight requests; errors become problems. Never rejects. */
export function createHandler({ routes, responder, cors }: { routes: RouteTable; responder: Responder; cors: Cors }): Handler {
  function serve(exchange: Exchange): Promise<void> | undefined {
    const { request } = exchange;
    const { url = "/", method: verb = "GET" } = request;
    const queryAt = url.indexOf("?");
    const path = queryAt < 0 ? url : url.slice(0, queryAt);
    if (request.headers.host === undefined && request.httpVersion === "1.1")
      throw refuse({ reason: "INVALID_REQUEST", code: "invalid_argument", message: "The Host header is missing" });
    if (verb === "OPTIONS" && request.headers["access-control-request-method"] !== undefined) return preflight(exchange, path);
    const { route, params } = routes.find(verb, path);
    exchange.template = route.template;
    return route.serve(exchange, params, queryAt < 0 ? "" : url.slice(queryAt + 1));
  }

  function preflight(exchange: Exchange, path: string): undefined {
    const verbs = routes.verbsAt(path);
    if (verbs.length === 0) throw refuse({ reason: "ROUTE_NOT_FOUND", code: "not_found" });
    const allowed = cors.preflight(exchange.request.headers.origin, verbs.join(", "));
    responder.send(exchange, 204, "api", [...allowed, "Cache-Control", "no-store", ...cors.varyOnWrite], undefined);
  }

  return async (request, response) => {
    const exchange = openExchange(request, response);
    try {
      await serve(exchange);
    } catch (error) {
      responder.sendProblem(exchange, error);
    }
  };
}
