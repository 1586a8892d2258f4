import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import { TLSSocket } from "node:tls";
import { methodsOf } from "../contract/contract.ts";
import type { MethodContract } from "../contract/contract.ts";
import { refuse } from "../errors/refusal.ts";
import { randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import { acceptCall, acceptCaller, NotServedHere } from "./accept-call.ts";
import type { Accepted } from "./accept-call.ts";
import { ServerCallStream, unaryMethods } from "./call-stream/server-call-stream.ts";
import { callStreamProtocol } from "./call-stream/upgrade.ts";
import { connectStatusOf } from "./connect/error.ts";
import { endEnvelope, messageEnvelope } from "./connect/envelope.ts";
import type { Encoding } from "./connect/media-type.ts";
import { messageCodec } from "./connect/message-codec.ts";
import { ProtocolError } from "./connect/protocol-error.ts";
import { connectPath, messageBytes, readHead } from "./connect/read-request.ts";
import { errorResponse, messageResponse, streamHeaders, writeEnvelope } from "./connect/write-response.ts";
import type { ConnectResponse } from "./connect/write-response.ts";
import { bytesOf } from "./http-body.ts";
import { defaultTimeoutMs } from "./rpc-server.ts";
import type { RpcServerOptions } from "./rpc-server.ts";
import type { ServerCalls } from "./server-calls.ts";
import type { Fields } from "./interceptors.ts";
import { responseHeaders } from "./wire-call.ts";

/** Responds with 200 while the process is ready; needs no token. */
const readyPath = "/readyz";

interface Begun extends Accepted {
  readonly request: Fields;
  readonly encoding: Encoding;
  readonly abort: AbortController;
}

/** The methods of this process by Connect's protocol: `POST /<package.Service>/<Method>`. */
export class HttpHandler {
  readonly #options: RpcServerOptions;
  readonly #calls: ServerCalls;
  readonly #methods = new Map<string, MethodContract>();
  #unary: ReadonlyMap<string, MethodContract> = new Map();
  /** Another one after each start: callers find out with it how many servers there are behind a name. */
  readonly #server = randomUUID();

  constructor(options: RpcServerOptions, calls: ServerCalls) {
    this.#options = options;
    this.#calls = calls;
  }

  /** Takes over what is served now. */
  addMethods(): void {
    for (const contract of this.#calls.contracts())
      for (const method of methodsOf(contract)) this.#methods.set(connectPath(method), method);
    this.#unary = unaryMethods(this.#calls);
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      if (request.url === readyPath) await this.#sendReadiness(response);
      else await this.#perform(request, response);
    } catch (error) {
      this.#fail(request, response, error);
    }
  }

  /** Makes a call stream of the connection. Responds with an error's status, and closes it, when it is not known who calls. */
  upgrade(request: IncomingMessage, socket: Socket): void {
    try {
      const parties = acceptCaller(this.#options, { header: (name) => headerOf(request, name), identities: this.#identitiesOf(request) });
      if (this.#calls.stopping || !this.#options.methods.routes.has(parties.service)) throw new NotServedHere(parties.service);
      const names = { [responseHeaders.instance]: this.#options.instance, [responseHeaders.server]: this.#server };
      const headers = { connection: "upgrade", upgrade: callStreamProtocol, ...names };
      socket.write(headOf("101 Switching Protocols", headers));
      const carrier = { stream: socket, cut: () => void socket.destroy() };
      void new ServerCallStream({ carrier, parties, server: this.#options, calls: this.#calls, methods: this.#unary });
    } catch (error) {
      const { refusal } = this.#calls.failure(error);
      socket.end(headOf(`${connectStatusOf[refusal.code]} ${refusal.reason}`, { connection: "close", "content-length": "0" }));
    }
  }

  async #perform(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const method = this.#methods.get(request.url ?? "");
    if (method === undefined) throw unknownPath(request.url);
    const header = (name: string) => headerOf(request, name);
    const { encoding, timeoutMs = defaultTimeoutMs } = readHead(method, request.method, header);
    const abort = abortWhenClosed(response);
    const { localName, input } = method.method;
    const accepted = acceptCall(this.#options, {
      contract: method.service,
      localName,
      header,
      identities: this.#identitiesOf(request),
      timeoutMs,
      signal: abort.signal,
    });
    const message = messageCodec(input, encoding).decode(messageBytes(method, await bytesOf(request, bodyTooLarge)));
    // A message's fields are its properties.
    const fields = message as unknown as Fields;
    if (method.streams) return this.#stream(response, { ...accepted, request: fields, encoding, abort });
    const reply = await this.#options.methods.perform(accepted.method, fields, accepted.call);
    this.#send(response, messageResponse(method, encoding, reply));
  }

  async #stream(response: ServerResponse, { encoding, ...call }: Begun): Promise<void> {
    const codec = messageCodec(call.method.contract.method.output, encoding);
    const begin = () => {
      if (!response.headersSent) response.writeHead(200, this.#headers(streamHeaders[encoding]));
    };
    await this.#calls.stream({
      ...call,
      send(message) {
        begin();
        return writeEnvelope(response, messageEnvelope(codec.encode(message)));
      },
    });
    begin();
    response.end(endEnvelope());
  }

  async #sendReadiness(response: ServerResponse): Promise<void> {
    const status = (await this.#calls.isReady()) ? 200 : 503;
    this.#send(response, { status, headers: { "content-type": "application/json" }, body: "{}" });
  }

  #fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    if (response.destroyed) return; // the caller has disconnected
    const { refusal, notExecuted } = this.#calls.failure(error);
    // Only a stream has begun its response by now.
    if (response.headersSent) return void response.end(endEnvelope(refusal));
    const { headers, ...failed } = errorResponse(error, refusal, headerOf(request, "content-type"));
    this.#send(response, {
      ...failed,
      headers: {
        ...headers,
        ...(notExecuted && { [responseHeaders.notExecuted]: "1" }),
        // The rest of a body that was not read would have to be read before the next call.
        ...(!request.complete && { connection: "close" }),
      },
    });
  }

  #send(response: ServerResponse, { status, headers, body }: ConnectResponse): void {
    const all = this.#headers(headers);
    all["content-length"] = Buffer.byteLength(body);
    response.writeHead(status, all);
    response.end(body);
  }

  #headers(headers: ConnectResponse["headers"]): OutgoingHttpHeaders {
    return { [responseHeaders.instance]: this.#options.instance, ...(this.#calls.stopping && { connection: "close" }), ...headers };
  }

  #identitiesOf({ socket }: IncomingMessage): readonly string[] | undefined {
    const { tls } = this.#options;
    if (tls === undefined || !(socket instanceof TLSSocket) || !socket.authorized) return undefined;
    return this.#calls.identitiesOf(socket, () => tls.identitiesOf(socket.getPeerCertificate()) ?? []);
  }
}

function headOf(status: string, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return [`HTTP/1.1 ${status}`, ...lines, "", ""].join("\r\n");
}

const bodyTooLarge = () => refuse({ reason: "BODY_TOO_LARGE", code: "invalid_argument" });

function unknownPath(path: string | undefined): ProtocolError {
  return new ProtocolError({
    reason: "METHOD_NOT_ALLOWED",
    code: "unimplemented",
    message: `${path} is not served here`,
    status: 404,
    headers: { [responseHeaders.notExecuted]: "1" },
  });
}

function headerOf({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" ? value : undefined;
}

/** Aborted when the connection closes before the response is complete. */
function abortWhenClosed(response: ServerResponse): AbortController {
  const abort = new AbortController();
  response.once("close", () => {
    if (!response.writableFinished) abort.abort();
  });
  return abort;
}
