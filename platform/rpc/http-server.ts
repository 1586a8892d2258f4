import { createServer } from "node:http";
import type { IncomingMessage, OutgoingHttpHeaders, Server, ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { Server as NetServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { contractOf } from "../contract/contract.ts";
import type { MethodContract } from "../contract/contract.ts";
import { jsonCodec } from "../contract/json.ts";
import { httpStatusOf } from "../errors/http-status.ts";
import { refusalIn, refuse } from "../errors/refusal.ts";
import type { Refusal } from "../errors/refusal.ts";
import { acceptCall, NotServedHere } from "./accept-call.ts";
import type { Call } from "../call/call.ts";
import { textOf } from "./http-body.ts";
import { encodeProblem, mediaTypes, pathOf, readyPath } from "./http-wire.ts";
import { defaultTimeoutMs, stopMs } from "./rpc-server.ts";
import type { RpcServer, RpcServerOptions } from "./rpc-server.ts";
import { notServed } from "./faults.ts";
import type { Fields } from "./interceptors.ts";
import type { ServedMethod } from "./served-methods.ts";
import { answerHeaders, wireHeaders } from "./wire-call.ts";

const settings = {
  keepAliveTimeout: 75_000,
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  maxHeaderSize: 32 * 1024,
};
/** A connection is made anew after so many calls, so that callers find replicas that were added. */
const callsPerConnection = 20_000;
/** When it stops, connections without a call are left open for so long: a call may be on its way, and its answer says that it is the last. */
const idleMs = 250;

/** Serves this process's methods as JSON over HTTP: `POST /rpc/<contract>/<Method>`. */
export function createHttpRpcServer(options: RpcServerOptions): RpcServer {
  const { methods, tls, ready, instance, log } = options;
  const routes = new Map<string, MethodContract>();
  const streams = new Set<AbortController>();
  const identities = new WeakMap<Socket, readonly string[]>();
  let stopping = false;

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url === readyPath) return send(response, (await isReady()) ? 200 : 503, mediaTypes.json, "{}");
    const contract = routes.get(request.url ?? "");
    if (contract === undefined) throw new NotServedHere(`${request.url} is not served here`);
    if (request.method !== "POST") throw refuse({ reason: "METHOD_NOT_ALLOWED", code: "unimplemented" });
    const gone = new AbortController();
    response.once("close", () => {
      if (!response.writableFinished) gone.abort();
    });
    const { method, call } = acceptCall(options, {
      contract: contract.service,
      localName: contract.method.localName,
      header: (name) => headerOf(request, name),
      identities: identitiesOf(request.socket),
      timeoutMs: Number(headerOf(request, wireHeaders.timeout) ?? defaultTimeoutMs),
      signal: gone.signal,
    });
    // A message's fields are its properties.
    const message = jsonCodec(contract.method.input).decode(parsed(await textOf(request, bodyTooLarge)), {
      from: "server",
    }) as unknown as Fields;
    if (contract.streams) return stream({ method, message, call, gone, response });
    const reply = await methods.perform(method, message, call);
    return send(response, 200, mediaTypes.json, jsonCodec(contract.method.output).encode(reply));
  }

  async function stream(begun: {
    readonly method: ServedMethod;
    readonly message: Fields;
    readonly call: Call;
    readonly gone: AbortController;
    readonly response: ServerResponse;
  }): Promise<void> {
    const { method, message, call, gone, response } = begun;
    const { encode } = jsonCodec(method.contract.method.output);
    streams.add(gone);
    try {
      for await (const answer of methods.stream(method, message, call)) {
        if (response.destroyed) return;
        if (!response.headersSent) head(response, 200, mediaTypes.lines);
        if (!response.write(`{"message":${encode(answer)}}\n`)) await writable(response);
      }
      if (!response.headersSent) head(response, 200, mediaTypes.lines);
      response.end('{"end":{}}\n');
    } catch (error) {
      const told = stopping && gone.signal.aborted ? notServed(method.name) : error;
      if (!response.headersSent) throw told;
      response.end(`{"end":${encodeProblem(toldFor(told))}}\n`);
    } finally {
      streams.delete(gone);
    }
  }

  function head(response: ServerResponse, status: number, type: string, more?: OutgoingHttpHeaders): void {
    response.writeHead(status, {
      "content-type": type,
      [answerHeaders.instance]: instance,
      ...(stopping && { connection: "close" }),
      ...more,
    });
  }

  function send(response: ServerResponse, status: number, type: string, text: string, more?: OutgoingHttpHeaders): void {
    head(response, status, type, { "content-length": Buffer.byteLength(text), ...more });
    response.end(text);
  }

  function fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    // Its reader has gone, so nobody is told.
    if (response.destroyed || response.headersSent) return;
    const notExecuted = error instanceof NotServedHere;
    const told = toldFor(notExecuted ? notServed(error.message) : error);
    send(response, httpStatusOf[told.code], mediaTypes.problem, encodeProblem(told), {
      ...(notExecuted && { [answerHeaders.notExecuted]: "1" }),
      // What is left of a body that nobody reads would have to be read before the next call.
      ...(!request.complete && { connection: "close" }),
    });
  }

  function toldFor(error: unknown): Refusal {
    const refusal = refusalIn(error);
    if (refusal === undefined) log.error({ error }, "fault in the rpc server");
    return refusal ?? refuse({ reason: "INTERNAL_ERROR", code: "internal" });
  }

  async function isReady(): Promise<boolean> {
    try {
      return !stopping && (await ready());
    } catch (error) {
      log.warn({ error }, "could not ask whether the process is ready");
      return false;
    }
  }

  /** Of a connection they stay the same, and reading them costs more than the call. */
  function identitiesOf(socket: Socket): readonly string[] | undefined {
    if (tls === undefined || !(socket instanceof TLSSocket) || !socket.authorized) return undefined;
    let known = identities.get(socket);
    if (known === undefined) identities.set(socket, (known = tls.identitiesOf(socket.getPeerCertificate()) ?? []));
    return known;
  }

  const answer = (request: IncomingMessage, response: ServerResponse) =>
    void serve(request, response).catch((error: unknown) => fail(request, response, error));
  let server: Server;
  let forget = () => undefined as void;
  if (tls === undefined) server = createServer(settings, answer);
  else {
    const { files } = tls;
    const { ca, cert, key } = files.current();
    const secure = createSecureServer({ ...settings, ca, cert, key, requestCert: true, rejectUnauthorized: true }, answer);
    forget = files.changed((changed) => secure.setSecureContext({ ca: changed.ca, cert: changed.cert, key: changed.key }));
    server = secure;
  }
  server.maxRequestsPerSocket = callsPerConnection;

  async function stop(): Promise<void> {
    stopping = true;
    forget();
    for (const gone of streams) gone.abort();
    if (!server.listening) return;
    const closed = new Promise<void>((resolve, reject) => {
      // http's own `close` would cut connections off that are idle now, with a call on its way.
      NetServer.prototype.close.call(server, (error) => (error === undefined ? resolve() : reject(error)));
    });
    const idle = setInterval(() => server.closeIdleConnections(), idleMs);
    const cut = setTimeout(() => server.closeAllConnections(), stopMs);
    await closed.finally(() => {
      clearInterval(idle);
      clearTimeout(cut);
    });
  }

  let stopped: Promise<void> | undefined;
  return {
    start(host, port) {
      for (const { service } of [...methods.routes.values()].flat())
        for (const method of service.methods) routes.set(pathOf(contractOf(method)), contractOf(method));
      return new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, host, () => {
          server.off("error", reject);
          resolve((server.address() as AddressInfo).port); // it listens on a port, not on a pipe
        });
      });
    },
    stop: () => (stopped ??= stop()),
  };
}

const bodyTooLarge = () => refuse({ reason: "BODY_TOO_LARGE", code: "invalid_argument" });

function headerOf({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" ? value : undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw refuse({ reason: "INVALID_REQUEST", code: "invalid_argument", message: "The body is not JSON", cause: error });
  }
}

/** Resolves when more can be written, or never will be. */
function writable(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      response.off("drain", go).off("close", go);
      resolve();
    };
    response.on("drain", go).on("close", go);
  });
}
