import { createServer, STATUS_CODES } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Cache } from "@kontor/platform/cache/cache.ts";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import type { Clock } from "@kontor/platform/clock/clock.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Refusal } from "@kontor/platform/errors/refusal.ts";
import { ConcurrencyLimiter, SharedQueueLimit } from "@kontor/platform/rpc/concurrency-limiter.ts";
import type { ConcurrencyLimits } from "@kontor/platform/rpc/concurrency-limiter.ts";
import type { Rpc } from "@kontor/platform/rpc/rpc.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { createBruteForceLimits } from "./edge/brute-force-limits.ts";
import { EventStreams } from "./rest/event-stream.ts";
import { createHandler } from "./handle.ts";
import { corsFor, securityHeaders } from "./edge/headers.ts";
import { HeldBytes } from "./edge/held-bytes.ts";
import { identityKeys, identitySessions } from "./edge/identity.ts";
import { createPages } from "./pages/pages.ts";
import type { PagesOptions } from "./pages/pages.ts";
import { problemOf, reasonsOf } from "./edge/problem.ts";
import { createRateLimiter, rateLimitDefaults } from "./edge/rate-limits.ts";
import type { Count, RateLimits } from "./edge/rate-limits.ts";
import { createRouteTable } from "./rest/routes.ts";
import type { Route } from "./rest/routes.ts";
import { createSessions } from "./edge/sessions.ts";
import type { SessionsOptions } from "./edge/sessions.ts";
import { createTokens } from "./edge/tokens.ts";
import type { PublicKey } from "./edge/tokens.ts";
import { newTrace } from "./edge/trace.ts";
import { createAuthenticate } from "./edge/authenticate.ts";

export interface GatewayOptions {
  /** What is served, and the way to it. Everything must be served before the gateway is created: the routes are read once. */
  readonly rpc: Pick<Rpc, "served" | "clientsFor">;
  readonly log: Logger;
  readonly clock: Clock;
  /** The address as customers see it. Over https browsers are told to stay there. */
  readonly publicUrl: string;
  readonly shopName: string;
  /** The keys that access tokens are checked with: identity's, asked through rpc, unless given. */
  readonly keys?: () => Promise<readonly PublicKey[]>;
  /** Gives those of these sessions that have not ended: asked of identity through rpc, unless given. */
  readonly checkSessions?: SessionsOptions["check"];
  /**
   * What all gateways and identity share: which sessions have ended, and rate counters. Without it identity is asked about every signed-in
   * request, and each gateway counts for itself.
   */
  readonly cache?: Cache;
  /**
   * How long a session is not asked for again, unless identity says otherwise through the cache: 2 s. For so long one that has ended may be
   * taken for live while identity, and no gateway, is cut off from the cache. More saves questions: right in one process, which cannot be cut.
   */
  readonly sessionLeaseMs?: number;
  /** Requests in a time, for each client and service: none by default, but for wrong guesses. */
  readonly rates?: RateLimits;
  /** How many proxies of ours stand before this gateway, each appending to `X-Forwarded-For` whom it has seen: none. */
  readonly proxies?: number;
  /** Whether all that is needed is there: for `/readyz`. */
  readonly ready?: () => boolean | Promise<boolean>;
  /** How long a request may take once it has arrived: 10 s. Past it the answer is 504. */
  readonly timeoutMs?: number;
  /** 256 KiB. */
  readonly bodyBytesMax?: number;
  /** What all bodies under way may take together: 64 MiB. */
  readonly bodyBytesHeldMax?: number;
  /** For each service by itself. */
  readonly limits?: Partial<ConcurrencyLimits>;
  /** How many requests may wait, for whichever service: 2,000, and past that each service's share of them. */
  readonly waitingMax?: number;
  /** How long a request may take to arrive: 15 s. Slower senders get 408. */
  readonly arrivalMs?: number;
  /** Origins whose pages may call the api; none unless named. */
  readonly origins?: readonly string[];
  /** How long requests are still taken once readiness is off, so that a balancer can look elsewhere: none by default. */
  readonly drainMs?: number;
  /** How long requests under way may go on after that: 10 s. */
  readonly stopMs?: number;
  /** What the pages say and link to. */
  readonly pages?: PagesOptions["texts"];
}

export interface Gateway {
  /** Listens; port 0 takes a free one. Several processes may share one where the system can do it: Linux can. */
  start(port: number, host: string, options?: { readonly shared?: boolean }): Promise<{ readonly url: string }>;
  /** Readiness off, no more connections, requests under way finish, the rest is cut. */
  stop(): Promise<void>;
  /** What is reachable, for checks. */
  readonly routes: readonly Route[];
}

/** The one way in: REST in front of every method that has a path, and the gateway's own pages. Throws for contracts that cannot be routed. */
export function createGateway(options: GatewayOptions): Gateway {
  const { rpc, log, clock, cache, publicUrl, shopName, ready = () => true, proxies = 0 } = options;
  const { stopMs = 10_000, drainMs = 0, arrivalMs = 15_000, rates = rateLimitDefaults } = options;
  let draining = false;
  const services = [...new Set([...rpc.served().values()].flatMap((routes) => routes.map(({ service }) => service)))];
  const reasons = reasonsOf(services);
  const security = securityHeaders({ https: publicUrl.startsWith("https:") });
  const pages = createPages({
    services,
    reasons,
    publicUrl,
    shopName,
    ready: async () => !draining && (await ready()),
    texts: options.pages ?? {},
  });
  const table = createRouteTable(rpc, pages);
  const names = [...rpc.served().keys()];
  const sharedQueue = new SharedQueueLimit(options.waitingMax ?? 2_000, names.length);
  // A cache that is away counts in this process too.
  const counters = cache ?? createMemoryCache({ maxEntries: 50_000 });
  const count: Count = (key, by, ttlMs) => counters.increment(key, by, ttlMs);
  const streams = new EventStreams();
  const handle = createHandler({
    table,
    streams,
    reasons,
    security,
    log,
    authenticate: createAuthenticate({
      tokens: createTokens({ keys: options.keys ?? identityKeys(rpc), clock, log }),
      isLive: createSessions({
        check: options.checkSessions ?? identitySessions(rpc),
        cache,
        clock,
        log,
        ...(options.sessionLeaseMs !== undefined && { leaseMs: options.sessionLeaseMs }),
      }),
      limiter: createRateLimiter(rates, { count, services: names }),
      proxies,
    }),
    guesses: createBruteForceLimits(rates.guesses, count),
    cors: corsFor(options.origins ?? []),
    limiters: new Map(names.map((name) => [name, new ConcurrencyLimiter(options.limits, sharedQueue)])),
    memory: new HeldBytes(options.bodyBytesHeldMax ?? 64 * 1024 * 1024),
    timeoutMs: options.timeoutMs ?? 10_000,
    bodyBytesMax: options.bodyBytesMax ?? 256 * 1024,
    proxies,
    draining: () => draining,
  });

  // A missing Host is refused by the handler: node's own refusal has no body and none of our headers.
  const server = createServer({ requireHostHeader: false, connectionsCheckingInterval: 1000, keepAliveTimeout: 65_000 });
  server.headersTimeout = Math.min(10_000, arrivalMs);
  server.requestTimeout = arrivalMs;
  const serve = (...[request, response]: Parameters<typeof handle>): void => void handle(request, response);
  server.on("request", serve);
  // A body is asked for when it is read, so a refused request need not send it.
  server.on("checkContinue", serve);
  server.on("checkExpectation", serve);
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => refuseUnread(error, socket));

  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });

  /** What node's parser refuses gets the same answer as everything else. */
  function refuseUnread(error: NodeJS.ErrnoException, socket: Duplex & { _httpMessage?: { headersSent: boolean } | null }): void {
    // Node keeps the answer under way there; writing into its middle would corrupt it.
    if (!socket.writable || error.code === "ECONNRESET" || socket._httpMessage?.headersSent === true) return void socket.destroy();
    const { refusal, status } = parserRefusal(error.code);
    const { headers, body } = problemOf(refusal, { reasons, traceId: newTrace().traceId, status });
    const list = [...security.api, ...headers, "Connection", "close", "Content-Length", String(Buffer.byteLength(body))];
    let head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`;
    for (let at = 0; at < list.length; at += 2) head += `${list[at]}: ${list[at + 1]}\r\n`;
    log.info({ method: "-", route: "-", status, code: error.code }, "request");
    socket.end(`${head}\r\n${body}`, () => socket.destroy());
  }

  let stopping: Promise<void> | undefined;
  return {
    routes: table.routes,
    start: (port, host, { shared = false } = {}) => listen(server, { port, host, reusePort: shared }),
    stop: () =>
      (stopping ??= (async () => {
        draining = true;
        if (!server.listening) return;
        if (drainMs > 0) await new Promise((resolve) => setTimeout(resolve, drainMs));
        streams.end();
        const closed = close(server, stopMs);
        // Node counts a connection that has sent nothing yet as busy.
        for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
        await closed;
      })()),
  };
}

function parserRefusal(code: string | undefined): { readonly refusal: Refusal; readonly status: number } {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return { refusal: refuse({ reason: "REQUEST_TIMEOUT", code: "deadline_exceeded" }), status: 408 };
  const invalid = (message: string) => refuse({ reason: "INVALID_REQUEST", code: "invalid_argument", message });
  if (code === "HPE_HEADER_OVERFLOW") return { refusal: invalid("The headers are too large"), status: 431 };
  return { refusal: invalid("This is not HTTP as it should be"), status: 400 };
}

function listen(server: Server, where: { port: number; host: string; reusePort: boolean }): Promise<{ url: string }> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ ...where, backlog: 1024 }, () => {
      server.off("error", reject);
      const { address, family, port: bound } = server.address() as AddressInfo; // it listens on a port, not on a pipe
      resolve({ url: `http://${family === "IPv6" ? `[${address}]` : address}:${bound}` });
    });
  });
}

function close(server: Server, stopMs: number): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), stopMs);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    server.closeIdleConnections();
  });
}
