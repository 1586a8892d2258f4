import { createServer, STATUS_CODES } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Refusal } from "@kontor/platform/errors/refusal.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { problemOf } from "./edge/problem.ts";
import type { Reason } from "./edge/problem.ts";
import { newTrace } from "@kontor/platform/call/trace.ts";
import type { Handler } from "./handler.ts";

/** How often connections that have become idle are looked for while the server closes. */
const idleMs = 50;

export interface HttpServerOptions {
  readonly handle: Handler;
  /** How long a request may take to arrive. */
  readonly arrivalMs: number;
  /** A connection on which nothing moves for so long during a request is cut: its client does not read. Longer than any request takes. */
  readonly stalledMs: number;
  /** The headers of the response to what is not HTTP, and the reasons it may give. */
  readonly securityHeaders: readonly string[];
  readonly reasons: ReadonlyMap<string, Reason>;
  readonly log: Logger;
}

export interface HttpServer {
  readonly listening: boolean;
  /** With `reusePort` several processes share a port, where the system can do it: Linux can. */
  listen(address: { readonly port: number; readonly host: string; readonly reusePort: boolean }): Promise<{ readonly url: string }>;
  /** No more connections; requests in progress finish, and are cut after `graceMs`. */
  close(graceMs: number): Promise<void>;
}

/** Node's server, with a problem as the response to what its parser refuses. */
export function createHttpServer({ handle, arrivalMs, stalledMs, securityHeaders, reasons, log }: HttpServerOptions): HttpServer {
  // A missing Host is refused by the handler: node's own refusal has no body and none of our headers.
  const server = createServer({ requireHostHeader: false, connectionsCheckingInterval: 1000, keepAliveTimeout: 65_000 });
  server.headersTimeout = Math.min(10_000, arrivalMs);
  server.requestTimeout = arrivalMs;
  server.timeout = stalledMs;
  const serve = (...[request, response]: Parameters<Handler>): void => void handle(request, response);
  server.on("request", serve);
  // The client is told to send its body when the body is read, so a refused request need not send it.
  server.on("checkContinue", serve);
  server.on("checkExpectation", serve);
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => refuseUnparsed(error, socket));

  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });

  function refuseUnparsed(error: NodeJS.ErrnoException, socket: Duplex & { _httpMessage?: { headersSent: boolean } | null }): void {
    // Node stores the response in progress there; writing into its middle would corrupt it.
    if (!socket.writable || error.code === "ECONNRESET" || socket._httpMessage?.headersSent === true) return void socket.destroy();
    const { refusal, status } = parserRefusal(error.code);
    const { headers, body } = problemOf(refusal, { reasons, traceId: newTrace().traceId, status });
    const list = [...securityHeaders, ...headers, "Connection", "close", "Content-Length", String(Buffer.byteLength(body))];
    let head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`;
    for (let at = 0; at < list.length; at += 2) head += `${list[at]}: ${list[at + 1]}\r\n`;
    log.info({ method: "-", route: "-", status, code: error.code }, "request");
    socket.end(`${head}\r\n${body}`, () => socket.destroy());
  }

  return {
    get listening() {
      return server.listening;
    },
    listen: (address) => listen(server, address),
    async close(graceMs) {
      const closed = close(server, graceMs);
      // Node counts a connection that has sent nothing yet as busy.
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
      await closed;
    },
  };
}

function parserRefusal(code: string | undefined): { readonly refusal: Refusal; readonly status: number } {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return { refusal: refuse({ reason: "REQUEST_TIMEOUT", code: "deadline_exceeded" }), status: 408 };
  const invalid = (message: string) => refuse({ reason: "INVALID_REQUEST", code: "invalid_argument", message });
  if (code === "HPE_HEADER_OVERFLOW") return { refusal: invalid("The headers are too large"), status: 431 };
  return { refusal: invalid("This is not valid HTTP"), status: 400 };
}

function listen(server: Server, address: Parameters<HttpServer["listen"]>[0]): Promise<{ url: string }> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ ...address, backlog: 1024 }, () => {
      server.off("error", reject);
      const { address: bound, family, port } = server.address() as AddressInfo; // it listens on a port, not on a pipe
      resolve({ url: `http://${family === "IPv6" ? `[${bound}]` : bound}:${port}` });
    });
  });
}

function close(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), graceMs);
    // A response that began before, such as a stream, has left its connection open for another request.
    const idle = setInterval(() => server.closeIdleConnections(), idleMs);
    server.close(() => {
      clearTimeout(cut);
      clearInterval(idle);
      resolve();
    });
  });
}
