import type { Message } from "@bufbuild/protobuf";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { endEnvelope, messageEnvelope } from "@kontor/platform/rpc/connect/envelope.ts";
import { messageCodec } from "@kontor/platform/rpc/connect/message-codec.ts";
import { messageBytes, readHead } from "@kontor/platform/rpc/connect/read-request.ts";
import type { ConnectHead } from "@kontor/platform/rpc/connect/read-request.ts";
import { errorResponse, messageResponse, streamHeaders, writeEnvelope } from "@kontor/platform/rpc/connect/write-response.ts";
import type { ConnectResponse } from "@kontor/platform/rpc/connect/write-response.ts";
import { discardBody, hasBody } from "../edge/body.ts";
import type { BodyReader } from "../edge/body.ts";
import type { Cors } from "../edge/cors.ts";
import type { Edge, Invocation, Opening } from "../edge/edge.ts";
import type { Exchange } from "../edge/exchange.ts";
import { idempotencyKeyOf } from "../edge/idempotency-key.ts";
import { streamMs } from "../edge/open-streams.ts";
import type { OpenStreams } from "../edge/open-streams.ts";
import type { Responder } from "../edge/responder.ts";
import type { Target } from "../edge/target.ts";
import type { Route } from "../route-table.ts";
import type { ConnectRoute } from "./connect-routes.ts";

export interface ConnectBindingOptions {
  readonly edge: Edge;
  readonly bodies: BodyReader;
  readonly streams: OpenStreams;
  readonly responder: Responder;
  readonly cors: Cors;
}

const nothing = Buffer.alloc(0);
/** The head has been checked before. */
const anyBody = (): void => undefined;

/** Serves methods by Connect's protocol: the same edge as REST, with the protocol's errors instead of problems. */
export class ConnectBinding {
  readonly #edge: Edge;
  readonly #bodies: BodyReader;
  readonly #streams: OpenStreams;
  readonly #responder: Responder;
  readonly #headers: readonly string[];

  constructor({ edge, bodies, streams, responder, cors }: ConnectBindingOptions) {
    this.#edge = edge;
    this.#bodies = bodies;
    this.#streams = streams;
    this.#responder = responder;
    this.#headers = ["Cache-Control", "no-store", ...cors.varyOnWrite];
  }

  route(route: ConnectRoute): Route {
    return {
      verb: "POST",
      template: route.path,
      servesHead: false,
      serve: (exchange) => this.#serve(exchange, route).catch((error: unknown) => this.#sendError(exchange, error)),
    };
  }

  async #serve(exchange: Exchange, { target, read, readOnly }: ConnectRoute): Promise<void> {
    const { request } = exchange;
    const { contract } = target;
    const head = readHead(contract, request.method, (name) => headerOf(exchange, name));
    const principal = await this.#edge.admit(exchange, target, { readOnly });
    const idempotencyKey = idempotencyKeyOf(request, contract);
    const body = await this.#bodies.read(exchange, anyBody);
    let message: Message;
    try {
      message = read(head.encoding, messageBytes(contract, body ?? nothing));
      if (!contract.streams) return await this.#respond(exchange, target, head, { principal, message, idempotencyKey });
    } finally {
      this.#bodies.release(body);
    }
    return this.#stream(exchange, target, head, { principal, message });
  }

  async #respond(exchange: Exchange, target: Target, { encoding, timeoutMs }: ConnectHead, invocation: Invocation): Promise<void> {
    const reply = await this.#edge.invoke(exchange, target, timeoutMs === undefined ? invocation : { ...invocation, timeoutMs });
    this.#send(exchange, messageResponse(target.contract, encoding, reply), []);
  }

  async #stream(
    exchange: Exchange,
    target: Target,
    { encoding, timeoutMs = streamMs }: ConnectHead,
    { principal, message }: Pick<Opening, "principal" | "message">,
  ): Promise<void> {
    const { response } = exchange;
    const codec = messageCodec(target.contract.method.output, encoding);
    const stream = this.#streams.open(response, this.#edge.clientOf(exchange, principal));
    try {
      const opening = { principal, message, durationMs: Math.min(timeoutMs, streamMs), signal: stream.signal };
      this.#responder.begin(exchange, 200, "api", [...Object.entries(streamHeaders[encoding]).flat(), ...this.#headers]);
      for await (const reply of this.#edge.open(exchange, target, opening))
        await writeEnvelope(response, messageEnvelope(codec.encode(reply)));
      response.end(endEnvelope());
    } catch (error) {
      if (response.destroyed) return; // the client has disconnected
      if (!stream.signal.aborted) return void response.end(endEnvelope(this.#responder.explained(exchange, error).refusal));
      const stopping = refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable", retryAfterMs: 1000 });
      response.end(endEnvelope(this.#responder.explained(exchange, stopping).refusal));
    } finally {
      this.#streams.close(stream);
    }
  }

  #sendError(exchange: Exchange, error: unknown): void {
    const { request, response } = exchange;
    if (response.headersSent) return void response.destroy();
    const { refusal, headers } = this.#responder.explained(exchange, error);
    this.#send(exchange, errorResponse(error, refusal, headerOf(exchange, "content-type")), headers);
    if (hasBody(request)) discardBody(request);
  }

  #send(exchange: Exchange, { status, headers, body }: ConnectResponse, more: readonly string[]): void {
    this.#responder.send(exchange, status, "api", [...Object.entries(headers).flat(), ...more, ...this.#headers], body);
  }
}

function headerOf({ request }: Exchange, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === "string" ? value : undefined;
}
