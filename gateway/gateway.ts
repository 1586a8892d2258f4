import { randomBytes } from "node:crypto";
import type { Cache } from "@kontor/platform/cache/cache.ts";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import type { Clock } from "@kontor/platform/clock/clock.ts";
import { ConcurrencyLimiter, SharedQueueLimit } from "@kontor/platform/rpc/concurrency-limiter.ts";
import type { ConcurrencyLimits } from "@kontor/platform/rpc/concurrency-limiter.ts";
import type { Rpc } from "@kontor/platform/rpc/rpc.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { createAuthenticate } from "./edge/authenticate.ts";
import { ConnectBinding } from "./connect/connect-binding.ts";
import { connectRoutes } from "./connect/connect-routes.ts";
import { BodyBudget } from "./edge/body-budget.ts";
import { BodyReader } from "./edge/body.ts";
import { createBruteForceLimits } from "./edge/brute-force-limits.ts";
import { clientAddresses } from "./edge/client-address.ts";
import { corsFor } from "./edge/cors.ts";
import { createEdge } from "./edge/edge.ts";
import type { Edge } from "./edge/edge.ts";
import { identityKeys, identitySessions } from "./edge/identity-client.ts";
import { OpenSessions } from "./edge/open-sessions.ts";
import { createOrigins } from "./edge/origin.ts";
import { OpenStreams } from "./edge/open-streams.ts";
import { OpenWaits } from "./edge/open-waits.ts";
import { reasonsOf } from "./edge/problem.ts";
import { createRateLimiter, rateLimitDefaults } from "./edge/rate-limits.ts";
import type { Count, RateLimits } from "./edge/rate-limits.ts";
import { createResponder } from "./edge/responder.ts";
import { securityHeaders } from "./edge/security-headers.ts";
import { createSessions } from "./edge/sessions.ts";
import type { SessionsOptions } from "./edge/sessions.ts";
import { targetsOf } from "./edge/target.ts";
import { createTokens } from "./edge/tokens.ts";
import type { PublicKey } from "./edge/tokens.ts";
import { createHandler } from "./handler.ts";
import { createHttpServer } from "./http-server.ts";
import { pageRoutes } from "./pages/pages.ts";
import type { PagesOptions } from "./pages/pages.ts";
import { EventStreams } from "./rest/event-stream.ts";
import { createRestBinding } from "./rest/rest-binding.ts";
import { restRoutes } from "./rest/rest-routes.ts";
import type { RestRoute } from "./rest/rest-routes.ts";
import { createRouteTable } from "./route-table.ts";

export interface GatewayOptions {
  /** The services that are served, and their clients. All must be served before the gateway is created: the routes are read once. */
  readonly rpc: Pick<Rpc, "served" | "clientsFor">;
  readonly log: Logger;
  readonly clock: Clock;
  /** The address as customers see it. Over https browsers are told never to use plain http. */
  readonly publicUrl: string;
  readonly shopName: string;
  /** The keys that access tokens are verified with; default: the identity service's, fetched through rpc. */
  readonly keys?: () => Promise<readonly PublicKey[]>;
  /** Returns those of these sessions that have not ended; default: a call of the identity service through rpc. */
  readonly checkSessions?: SessionsOptions["check"];
  /**
   * What all gateways and the identity service share: which sessions have ended, and rate counters. Without it the session of every signed-in
   * request is checked by the identity service, and each gateway counts for itself.
   */
  readonly cache?: Cache;
  /**
   * How long a session that was checked is taken for live, unless identity reports its end through the cache: 2 s. For so long a session that
   * has ended may be accepted while identity, and no gateway, is disconnected from the cache. More saves calls, and is right in one process.
   */
  readonly sessionLeaseMs?: number;
  /** Requests in a time, for each client and service: unlimited by default, except for wrong secrets. */
  readonly rates?: RateLimits;
  /** How many proxies of this installation stand before this gateway, each appending its client's address to `X-Forwarded-For`: none. */
  readonly proxies?: number;
  /** What the pseudonyms of clients' addresses are made with, the same for all gateways of an installation; this gateway's own without it. */
  readonly originSecret?: Uint8Array;
  /** How many streams may be open: 2,000. */
  readonly streamsMax?: number;
  /** Whether everything that is needed is available: for `/readyz`. */
  readonly ready?: () => boolean | Promise<boolean>;
  /** How long a request may take once it has arrived: 10 s. After it the response is 504. */
  readonly timeoutMs?: number;
  /** 256 KiB. */
  readonly bodyBytesMax?: number;
  /** How much the bodies of all requests in progress may occupy together: 64 MiB. */
  readonly bodyBytesTotalMax?: number;
  /** For each service by itself. */
  readonly limits?: Partial<ConcurrencyLimits>;
  /** How many requests may wait, for all services: 2,000; beyond that only within each service's share of them. */
  readonly waitingMax?: number;
  /** How many reads may wait for a change: 2,000. Beyond that they are responded to at once. */
  readonly waitsMax?: number;
  /** How long a request may take to arrive: 15 s. Slower senders get 408. */
  readonly arrivalMs?: number;
  /** Origins whose pages may call the API; none unless named. */
  readonly origins?: readonly string[];
  /** How long requests are still accepted once readiness is off, so that a load balancer can react: not at all by default. */
  readonly drainMs?: number;
  /** How long requests in progress may take after that: 10 s. */
  readonly stopMs?: number;
  /** What the pages say and link to. */
  readonly pages?: PagesOptions["texts"];
}

export interface Gateway {
  /** Listens; port 0 takes a free one. Several processes may share one where the system can do it: Linux can. */
  start(port: number, host: string, options?: { readonly shared?: boolean }): Promise<{ readonly url: string }>;
  /** Readiness off, no more connections, requests in progress finish, the rest is cut. */
  stop(): Promise<void>;
  /** Every method that is served over REST, for checks. */
  readonly routes: readonly RestRoute[];
}

/** The one way in: REST and Connect's protocol in front of every method that has a path, and the gateway's own pages. Throws for contracts that cannot be routed. */
export function createGateway(options: GatewayOptions): Gateway {
  const { rpc, log, publicUrl, shopName, ready = () => true } = options;
  const { stopMs = 10_000, drainMs = 0, arrivalMs = 15_000, timeoutMs = 10_000 } = options;
  let draining = false;
  const services = [...new Set([...rpc.served().values()].flatMap((served) => served.map(({ service }) => service)))];
  const reasons = reasonsOf(services);
  const security = securityHeaders({ https: publicUrl.startsWith("https:") });
  const cors = corsFor(options.origins ?? []);
  const responder = createResponder({ reasons, security, cors, log, draining: () => draining });
  const streams = new OpenStreams(options.streamsMax);
  const waits = new OpenWaits(options.waitsMax);
  const budget = new BodyBudget(options.bodyBytesTotalMax ?? 64 * 1024 * 1024);
  const bodies = new BodyReader({ bytesMax: options.bodyBytesMax ?? 256 * 1024, budget });
  const isReady = async (): Promise<boolean> => !draining && (await ready());
  const pages = pageRoutes({ services, reasons, publicUrl, shopName, ready: isReady, texts: options.pages ?? {} }, responder);
  const targets = [...targetsOf(rpc)];
  const routes = restRoutes(targets);
  const edge = edgeFor(options);
  const rest = createRestBinding({ edge, bodies, streams: new EventStreams(streams), waits, responder, cors });
  const connect = new ConnectBinding({ edge, bodies, streams, responder, cors });
  const table = createRouteTable([...pages, ...routes.map(rest), ...connectRoutes(targets).map((route) => connect.route(route))]);
  const handle = createHandler({ routes: table, responder, cors });
  const stalledMs = timeoutMs + 60_000;
  const server = createHttpServer({ handle, arrivalMs, stalledMs, securityHeaders: security.api, reasons, log });

  let stopping: Promise<void> | undefined;
  return {
    routes,
    start: (port, host, { shared = false } = {}) => server.listen({ port, host, reusePort: shared }),
    stop: () =>
      (stopping ??= (async () => {
        draining = true;
        if (!server.listening) return;
        if (drainMs > 0) await new Promise((resolve) => setTimeout(resolve, drainMs));
        streams.end();
        waits.end();
        await server.close(stopMs);
      })()),
  };
}

function edgeFor(options: GatewayOptions): Edge {
  const { rpc, log, clock, cache, rates = rateLimitDefaults, sessionLeaseMs: leaseMs } = options;
  const names = [...rpc.served().keys()];
  const sharedQueue = new SharedQueueLimit(options.waitingMax ?? 2_000, names.length);
  // The shared cache itself counts in this process while it is unavailable.
  const counters = cache ?? createMemoryCache({ maxEntries: 50_000 });
  const count: Count = (key, by, ttlMs) => counters.increment(key, by, ttlMs);
  const check = options.checkSessions ?? identitySessions(rpc);
  const isLive = createSessions({ check, cache, clock, log, ...(leaseMs !== undefined && { leaseMs }) });
  return createEdge({
    authenticate: createAuthenticate({
      tokens: createTokens({ keys: options.keys ?? identityKeys(rpc), clock, log }),
      isLive,
    }),
    openSessions: new OpenSessions(isLive),
    rateLimiter: createRateLimiter(rates, { count, services: names }),
    bruteForceLimits: createBruteForceLimits(rates.bruteForce, count),
    concurrencyLimiters: new Map(names.map((name) => [name, new ConcurrencyLimiter(options.limits, sharedQueue)])),
    timeoutMs: options.timeoutMs ?? 10_000,
    addressOf: clientAddresses({ proxies: options.proxies ?? 0, log }),
    originOf: createOrigins(options.originSecret ?? randomBytes(32)),
  });
}
