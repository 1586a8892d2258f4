import type { Message } from "@bufbuild/protobuf";
import type { BodyReader } from "../edge/body.ts";
import type { Cors } from "../edge/cors.ts";
import type { Edge } from "../edge/edge.ts";
import type { Principal } from "../edge/authenticate.ts";
import type { Exchange } from "../edge/exchange.ts";
import { idempotencyKeyOf } from "../edge/idempotency-key.ts";
import { streamMs } from "../edge/open-streams.ts";
import type { OpenWaits } from "../edge/open-waits.ts";
import type { Responder } from "../edge/responder.ts";
import type { Route } from "../route-table.ts";
import { matchesEtag } from "./etag.ts";
import { resumedQuery } from "./event-stream.ts";
import type { EventStreams } from "./event-stream.ts";
import type { RestRoute } from "./rest-routes.ts";
import { createWaitingRead } from "./waiting-read.ts";

export interface RestBindingOptions {
  readonly edge: Edge;
  readonly bodies: BodyReader;
  readonly streams: EventStreams;
  readonly waits: OpenWaits;
  readonly responder: Responder;
  readonly cors: Cors;
}

/** Serves REST routes: HTTP request to message, the edge's call, message to HTTP response. */
export function createRestBinding(options: RestBindingOptions): (route: RestRoute) => Route {
  const { edge, bodies, streams, waits, responder, cors } = options;
  const { varyOnRead, varyOnWrite } = cors;
  const waitingRead = createWaitingRead({ edge, waits });

  async function serve(exchange: Exchange, route: RestRoute, params: Readonly<Record<string, string>>, query: string): Promise<void> {
    const { request } = exchange;
    const { target, wait } = route;
    // Most requests wait for nothing here, so most of them make no promise.
    const admitted = edge.admit(exchange, target, route);
    const principal = admitted instanceof Promise ? await admitted : admitted;
    if (route.stream !== undefined) return serveStream(exchange, route, params, query, principal);
    const idempotencyKey = idempotencyKeyOf(request, target.contract);
    // Before the call enters the concurrency limiter: a slow sender would occupy a slot.
    const reading = bodies.read(exchange, route.checkBody);
    const body = reading === undefined ? undefined : await reading;
    try {
      const read = () => route.read({ path: params, query, body, headers: request.headers });
      const { reply, headers } =
        wait === undefined
          ? { reply: await edge.invoke(exchange, target, { principal, message: read(), idempotencyKey }), headers: [] }
          : await waitingRead(exchange, { target, wait, principal, read });
      respond(exchange, route, principal, reply, headers);
    } finally {
      bodies.release(body);
    }
  }

  function respond(exchange: Exchange, route: RestRoute, principal: Principal, message: Message, more: readonly string[]): void {
    if (route.readOnly) return respondToRead(exchange, route, principal, message, more);
    const { status, headers, body, page } = route.write(message);
    responder.send(exchange, status, page ? "servicePage" : "api", [...headers, "Cache-Control", "no-store", ...varyOnWrite], body);
  }

  function respondToRead(exchange: Exchange, route: RestRoute, { user }: Principal, message: Message, more: readonly string[]): void {
    const { status, headers, body, page, etag } = route.represent(message);
    const policy = page ? "servicePage" : "api";
    // What a signed-in caller sees may be private, at a public address too.
    const common = ["Cache-Control", user === undefined ? route.cacheControl : "no-store", ...varyOnRead, ...more];
    const sent = etag === undefined ? undefined : exchange.request.headers["if-none-match"];
    if (etag !== undefined && sent !== undefined && matchesEtag(sent, etag))
      return responder.send(exchange, 304, policy, ["ETag", etag, ...common], undefined);
    return responder.send(exchange, status, policy, [...headers, ...common], body);
  }

  function serveStream(
    exchange: Exchange,
    { target, stream, checkBody, read, write }: RestRoute,
    params: Readonly<Record<string, string>>,
    query: string,
    principal: Principal,
  ): Promise<void> {
    const { request, response } = exchange;
    checkBody(request);
    const { idOf, resumeBy } = stream!; // the caller has checked
    const resumed = resumedQuery(query, resumeBy, request.headers["last-event-id"]);
    const message = read({ path: params, query: resumed, body: undefined, headers: request.headers });
    return streams.serve({
      client: edge.clientOf(exchange, principal),
      request,
      response,
      idOf,
      begin: (headers) => responder.begin(exchange, 200, "api", [...headers, ...varyOnRead]),
      empty: () => responder.send(exchange, 204, "api", ["Cache-Control", "no-store", ...varyOnRead], undefined),
      open: (signal) => edge.open(exchange, target, { principal, message, durationMs: streamMs, signal }),
      encode: (event) => String(write(event).body),
      problem: (error) => responder.problemFor(exchange, error).body,
    });
  }

  return (route) => ({
    verb: route.verb,
    template: route.template,
    servesHead: route.servesHead,
    serve: (exchange, params, query) => serve(exchange, route, params, query),
  });
}
