import type { IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import type { Message } from "@bufbuild/protobuf";
import type { MethodContract } from "../contract/contract.ts";
import { refuse } from "../errors/refusal.ts";
import type { Call } from "../call/call.ts";
import { ClientCalls } from "./client-calls.ts";
import { envelopesIn, messageEnvelope } from "./connect/envelope.ts";
import { readError } from "./connect/error.ts";
import { bodyFormatOf, streamTypes, unaryTypes } from "./connect/media-type.ts";
import type { Encoding } from "./connect/media-type.ts";
import { messageCodec } from "./connect/message-codec.ts";
import type { MessageCodec } from "./connect/message-codec.ts";
import { connectPath } from "./connect/read-request.ts";
import { HttpCallStreams } from "./http-call-streams.ts";
import { createAgents } from "./http-agents.ts";
import type { Agents } from "./http-agents.ts";
import { bytesOf } from "./http-body.ts";
import { Exchange } from "./http-exchange.ts";
import { Endpoints } from "./http-endpoints.ts";
import type { Endpoint } from "./http-endpoints.ts";
import { TransportFailure } from "./transport.ts";
import type { Transport, TransportOptions } from "./transport.ts";
import { messageBytesMax, responseHeaders, timeoutMsOf } from "./wire-call.ts";
import { failureOf } from "./wire-failure.ts";

const pauseMs = 100;

interface Prepared {
  readonly method: MethodContract;
  readonly body: string | Buffer;
  readonly bytes: number;
  readonly call: Call;
}

interface Begun {
  readonly exchange: Exchange;
  readonly response: IncomingMessage;
}

/**
 * Calls to one service over HTTP: to each address in turn, skipping those that cannot be reached. A unary call goes on a call stream where there is one; until
 * then, and where the other side knows none, it is sent singly by Connect's protocol. JSON is the default because it costs less here than the binary form.
 */
export function createHttpTransport(options: TransportOptions, encoding: Encoding = "json"): Transport {
  const calls = new ClientCalls(options);
  const requests = new HttpRequests(options, calls, encoding);
  const streams = new HttpCallStreams(options, calls);
  return {
    async unary(method, request, call) {
      const endpoint = requests.next();
      const stream = streams.next(endpoint, call.caller);
      if (stream !== undefined) return stream.unary(method, request, call);
      const { exchange, response } = await requests.send(method, request, call, endpoint);
      try {
        return decoded(messageCodec(method.method.output, encoding), await bytesOf(response, tooLarge));
      } catch (error) {
        throw exchange.failure(error);
      } finally {
        exchange.end(response);
      }
    },
    async *stream(method, request, call) {
      const { exchange, response } = await requests.send(method, request, call, requests.next());
      const codec = messageCodec(method.method.output, encoding);
      let last: Buffer | undefined;
      try {
        // Read until the body ends, so that the connection can be used again.
        for await (const { body, end } of envelopesIn(response, messageBytesMax)) {
          if (end) last = body;
          else yield decoded(codec, body);
        }
        if (last === undefined) throw new TransportFailure("the stream was cut off");
        throwIfFailed(JSON.parse(last.toString()));
      } catch (error) {
        throw exchange.failure(error);
      } finally {
        exchange.end(response);
      }
    },
    close() {
      streams.close();
      requests.close();
    },
  };
}

/** Requests to one service, each sent to one address after the other until one responds. */
class HttpRequests {
  readonly #calls: ClientCalls;
  readonly #endpoints: Endpoints;
  readonly #agents: Agents;
  readonly #secure: boolean;
  readonly #encoding: Encoding;
  readonly #paths = new WeakMap<MethodContract, string>();

  constructor(options: TransportOptions, calls: ClientCalls, encoding: Encoding) {
    this.#calls = calls;
    this.#endpoints = new Endpoints(options.addresses);
    this.#agents = createAgents(options.service, options.tls);
    this.#secure = options.tls !== undefined;
    this.#encoding = encoding;
  }

  /** The address of the next call. */
  next(): Endpoint {
    return this.#endpoints.next();
  }

  /**
   * Sends to `endpoint`, then to the others. Throws the refusal of the first that responds with one. One that did not execute the call is no reason to stop
   * trying.
   */
  async send(method: MethodContract, request: Message, call: Call, endpoint: Endpoint): Promise<Begun> {
    const message = messageCodec(method.method.input, this.#encoding).encode(request);
    const body = method.streams ? messageEnvelope(message) : message;
    const bytes = Buffer.byteLength(body);
    if (bytes > messageBytesMax) throw tooLarge();
    for (let tries = 1; ; tries++) {
      try {
        const begun = await this.#begin(endpoint, { method, body, bytes, call });
        this.#endpoints.succeeded(endpoint);
        return begun;
      } catch (error) {
        if (!(error instanceof TransportFailure && error.notExecuted)) throw error;
        this.#endpoints.failed(endpoint);
        if (tries >= this.#endpoints.count) {
          if (!this.#calls.calleeMayBeStarting || call.remainingMs() <= pauseMs || call.callerSignal?.aborted === true) throw error;
          await delay(pauseMs);
        }
        endpoint = this.#endpoints.next();
      }
    }
  }

  async #begin({ host, port }: Endpoint, { method, body, bytes, call }: Prepared): Promise<Begun> {
    const request = { agent: this.#agents.current(), host, port, path: this.#pathOf(method) };
    const exchange = new Exchange({ secure: this.#secure, request, headers: this.#headers(method, call, bytes), body, call });
    let response: IncomingMessage | undefined;
    try {
      response = await exchange.response;
      this.#calls.responded(response.headers[responseHeaders.instance]);
      await throwUnlessMessages(response, method);
      return { exchange, response };
    } catch (error) {
      const failure = exchange.failure(error);
      exchange.end(response);
      throw failure;
    }
  }

  #headers({ streams }: MethodContract, call: Call, bytes: number): OutgoingHttpHeaders {
    const headers: OutgoingHttpHeaders = this.#calls.headers(call);
    headers["content-type"] = (streams ? streamTypes : unaryTypes)[this.#encoding];
    headers["content-length"] = bytes;
    headers["connect-protocol-version"] = "1";
    const timeoutMs = timeoutMsOf(call);
    if (timeoutMs !== undefined) headers["connect-timeout-ms"] = timeoutMs;
    return headers;
  }

  #pathOf(method: MethodContract): string {
    let path = this.#paths.get(method);
    if (path === undefined) this.#paths.set(method, (path = connectPath(method)));
    return path;
  }

  close(): void {
    this.#agents.close();
  }
}

/** A message that is too large is so the next time too. */
const tooLarge = () => refuse({ reason: "INTERNAL_ERROR", code: "internal", cause: new Error("a message is too large") });

/** Throws what a response says that has no messages: an error, or a stream of a call that was not executed. */
async function throwUnlessMessages(response: IncomingMessage, { streams }: MethodContract): Promise<void> {
  const { headers, statusCode = 0 } = response;
  const notExecuted = headers[responseHeaders.notExecuted] !== undefined;
  const format = bodyFormatOf(headers["content-type"]);
  if (statusCode === 200 && !notExecuted) {
    if (format?.streams !== streams) throw new TransportFailure(`the response is "${headers["content-type"]}"`);
    return;
  }
  const body = await bytesOf(response, tooLarge);
  const json: unknown = format?.encoding === "json" && !format.streams ? JSON.parse(body.toString()) : undefined;
  throw failureOf({ ...readError(json, statusCode), notExecuted });
}

/** Throws the error with which a stream ended, if it did. */
function throwIfFailed(end: unknown): void {
  const error = typeof end === "object" && end !== null && "error" in end ? end.error : undefined;
  if (error !== undefined) throw failureOf({ ...readError(error, 200), notExecuted: false });
}

/** A response that cannot be read is the callee's fault, and no refusal of the request. */
function decoded(codec: MessageCodec, bytes: Buffer): Message {
  try {
    return codec.decode(bytes);
  } catch (cause) {
    throw new TransportFailure("the response cannot be read", { cause });
  }
}
