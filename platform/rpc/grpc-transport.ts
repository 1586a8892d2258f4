import type { Message } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import type { MethodContract } from "../contract/contract.ts";
import type { Call } from "../call/call.ts";
import { ClientCalls, onDisconnect } from "./client-calls.ts";
import { Channels } from "./grpc-channels.ts";
import { GrpcCallStreams } from "./grpc-call-streams.ts";
import { definitionOf } from "./grpc-methods.ts";
import { startUnary } from "./grpc-unary.ts";
import { TransportFailure } from "./transport.ts";
import type { Transport, TransportOptions } from "./transport.ts";
import { responseHeaders } from "./wire-call.ts";
import { decodeRefusal } from "./wire-problem.ts";
import { failureOf } from "./wire-failure.ts";

/**
 * Calls to one service over gRPC: to each address in turn, skipping those that cannot be reached. A unary call goes on a call stream where there is one, and
 * singly until then.
 */
export function createGrpcTransport(options: TransportOptions): Transport {
  return new GrpcTransport(options);
}

class GrpcTransport implements Transport {
  readonly #calls: ClientCalls;
  readonly #channels: Channels;
  readonly #streams: GrpcCallStreams;
  readonly #definitions = new WeakMap<MethodContract, grpc.MethodDefinition<Message, Message>>();

  constructor(options: TransportOptions) {
    this.#calls = new ClientCalls(options);
    this.#channels = new Channels(options);
    this.#streams = new GrpcCallStreams(this.#channels, this.#calls);
  }

  unary(method: MethodContract, request: Message, call: Call): Promise<Message> {
    const channel = this.#channels.next();
    const stream = this.#streams.next(channel, call.caller);
    return stream === undefined ? this.#single(channel, method, request, call) : stream.unary(method, request, call);
  }

  #single(channel: grpc.Channel, method: MethodContract, request: Message, call: Call): Promise<Message> {
    const { path, requestSerialize, responseDeserialize } = this.#definition(method);
    return new Promise((resolve, reject) => {
      const started = startUnary(channel, {
        path,
        deadline: deadlineOf(call),
        metadata: this.#metadataOf(call),
        request: requestSerialize(request),
        responded: (message, metadata) => {
          release();
          this.#responded(metadata);
          try {
            resolve(responseDeserialize(message));
          } catch (error) {
            reject(new TransportFailure("the response cannot be read", { cause: error }));
          }
        },
        failed: (status) => {
          release();
          reject(this.#failed(status));
        },
      });
      const release = onDisconnect(call, () => started.cancel());
    });
  }

  async *stream(method: MethodContract, request: Message, call: Call): AsyncGenerator<Message> {
    const { path, requestSerialize, responseDeserialize } = this.#definition(method);
    const started = this.#channels
      .clientOf(this.#channels.next())
      .makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, this.#metadataOf(call), {
        deadline: deadlineOf(call),
      });
    // The loop below gets errors too, unless it was left before.
    started.on("error", () => undefined);
    started.once("metadata", (metadata) => this.#responded(metadata));
    const release = onDisconnect(call, () => started.cancel());
    try {
      for await (const message of started) yield message as Message;
    } catch (error) {
      throw isStatus(error) ? this.#failed(error) : error;
    } finally {
      release();
      started.cancel();
    }
  }

  close(): void {
    this.#streams.close();
    this.#channels.close();
  }

  #definition(method: MethodContract): grpc.MethodDefinition<Message, Message> {
    let known = this.#definitions.get(method);
    if (known === undefined) this.#definitions.set(method, (known = definitionOf(method.service, method.method, method.streams)));
    return known;
  }

  #metadataOf(call: Call): grpc.Metadata {
    const metadata = new grpc.Metadata(this.#calls.calleeMayBeStarting ? { waitForReady: true } : {});
    for (const [name, value] of Object.entries(this.#calls.headers(call))) metadata.set(name, value);
    return metadata;
  }

  #responded(metadata: grpc.Metadata | undefined): void {
    this.#calls.responded(metadata?.get(responseHeaders.instance)[0]);
  }

  #failed(status: grpc.StatusObject): Error {
    const failure = failureIn(status);
    // grpc-js makes up a status, without our header, for a callee that did not respond.
    if (!(failure instanceof TransportFailure) || status.metadata.get(responseHeaders.instance).length > 0)
      this.#responded(status.metadata);
    return failure;
  }
}

/** gRPC's deadline is a time of day. */
const deadlineOf = (call: Call) => (Number.isFinite(call.deadlineMs) ? Date.now() + call.remainingMs() : Infinity);

const isStatus = (error: unknown): error is grpc.ServiceError => error instanceof Error && "metadata" in error;

/** The callee's refusal, or what happened on the way. */
function failureIn({ code, details, metadata }: grpc.StatusObject): Error {
  const [problem] = metadata.get("grpc-status-details-bin");
  return failureOf({
    code: grpc.status[code].toLowerCase(),
    message: details,
    refusal: typeof problem === "object" ? decodeRefusal(problem) : undefined,
    // The text is grpc-js's for a connection that was being closed.
    notExecuted: metadata.get(responseHeaders.notExecuted).length > 0 || details === "Stream refused by server",
  });
}
