import { createServer } from "node:http";
import type { IncomingMessage, RequestListener, Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { Server as NetServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { callStreamPath, callStreamProtocol } from "./call-stream/upgrade.ts";
import type { TlsIdentity } from "./tls-identity.ts";

const settings = {
  keepAliveTimeout: 75_000,
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  maxHeaderSize: 32 * 1024,
  // Whatever else a client would like its connection to become is ignored.
  shouldUpgradeCallback: ({ url, headers }: IncomingMessage) => url === callStreamPath && headers.upgrade === callStreamProtocol,
};
/** A connection is replaced after so many calls, so that callers find replicas that were added. */
const callsPerConnection = 20_000;
/** While it closes, connections without a call are left open for so long: a call may be on its way, and its response says that it is the last. */
const idleMs = 250;
const keepAliveDelayMs = 10_000;

/** Takes the connections of other processes. */
export interface HttpListener {
  /** Port 0 takes a free one. Returns the port. */
  listen(host: string, port: number): Promise<number>;
  /** Takes no more connections and resolves when all are closed. */
  close(): Promise<void>;
  /** Ends all connections. */
  cut(): void;
}

export interface HttpListenerOptions {
  /** With it, HTTPS for callers with a certificate of the same authority. */
  readonly tls: TlsIdentity | undefined;
  readonly handle: RequestListener;
  /** Takes over the connection of a request that begins a call stream. */
  readonly upgrade: (request: IncomingMessage, socket: Socket) => void;
}

/** A server of HTTP or HTTPS. */
export function createHttpListener({ tls, handle, upgrade }: HttpListenerOptions): HttpListener {
  /** The connections that HTTP has nothing to do with any more. */
  const upgraded = new Set<Socket>();
  let server: Server;
  let forget = () => undefined as void;
  if (tls === undefined) server = createServer(settings, handle);
  else {
    const { files } = tls;
    const { ca, cert, key } = files.current();
    const secure = createSecureServer({ ...settings, ca, cert, key, requestCert: true, rejectUnauthorized: true }, handle);
    forget = files.changed((changed) => secure.setSecureContext({ ca: changed.ca, cert: changed.cert, key: changed.key }));
    server = secure;
  }
  server.maxRequestsPerSocket = callsPerConnection;
  server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    upgraded.add(socket);
    // A caller that disappeared without a word would otherwise stay until the stop, and hold it up.
    socket.setKeepAlive(true, keepAliveDelayMs);
    socket.once("close", () => upgraded.delete(socket));
    socket.on("error", () => socket.destroy());
    if (head.length > 0) socket.unshift(head);
    upgrade(request, socket);
  });

  return {
    listen: (host, port) =>
      new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, host, () => {
          server.off("error", reject);
          resolve((server.address() as AddressInfo).port); // it listens on a port, not on a pipe
        });
      }),
    async close() {
      forget();
      if (!server.listening) return;
      const closed = new Promise<void>((resolve, reject) => {
        // http's own `close` would end connections that are idle now, with a call on its way.
        NetServer.prototype.close.call(server, (error) => (error === undefined ? resolve() : reject(error)));
      });
      const idle = setInterval(() => server.closeIdleConnections(), idleMs);
      await closed.finally(() => clearInterval(idle));
    },
    cut() {
      server.closeAllConnections();
      for (const socket of upgraded) socket.destroy();
    },
  };
}
