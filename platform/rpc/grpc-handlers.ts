import { randomUUID } from "node:crypto";
import type { DescService, Message } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { methodsOf } from "../contract/contract.ts";
import { acceptCall, acceptCaller, NotServedHere } from "./accept-call.ts";
import type { Accepted, Shown } from "./accept-call.ts";
import { ServerCallStream, unaryMethods } from "./call-stream/server-call-stream.ts";
import { defaultTimeoutMs } from "./rpc-server.ts";
import type { RpcServerOptions } from "./rpc-server.ts";
import type { ServerCalls } from "./server-calls.ts";
import { responseHeaders } from "./wire-call.ts";
import { encodeRefusal, statusOf } from "./wire-problem.ts";

/** What calls of both kinds have of grpc-js. */
type Started = Pick<grpc.ServerUnaryCall<Message, Message>, "metadata" | "getDeadline" | "getAuthContext"> &
  Pick<NodeJS.EventEmitter, "once" | "off">;

/** The methods of this process as grpc-js calls them. */
export class GrpcHandlers {
  readonly #options: RpcServerOptions;
  readonly #calls: ServerCalls;
  readonly #metadata = new grpc.Metadata();
  /** Another one after each start: callers find out with it how many servers there are behind a name. */
  readonly #server = randomUUID();

  constructor(options: RpcServerOptions, calls: ServerCalls) {
    this.#options = options;
    this.#calls = calls;
    this.#metadata.set(responseHeaders.instance, options.instance);
  }

  /** By the local names of a service's methods. */
  of(contract: DescService): grpc.UntypedServiceImplementation {
    const handlers: grpc.UntypedServiceImplementation = {};
    for (const { method, streams } of methodsOf(contract))
      handlers[method.localName] = streams ? this.#streaming(contract, method.localName) : this.#unary(contract, method.localName);
    return handlers;
  }

  /** The method by which other processes of the shop make their unary calls: see call-stream/. */
  callStreams(): grpc.handleBidiStreamingCall<Buffer, Buffer> {
    const methods = unaryMethods(this.#calls);
    return (started) => {
      try {
        const parties = acceptCaller(this.#options, this.#shownBy(started));
        if (this.#calls.stopping || !this.#options.methods.routes.has(parties.service)) throw new NotServedHere(parties.service);
        const metadata = this.#metadata.clone();
        metadata.set(responseHeaders.server, this.#server);
        started.sendMetadata(metadata);
        const carrier = { stream: started, cut: () => void started.emit("error", malformed) };
        const stream = new ServerCallStream({ carrier, parties, server: this.#options, calls: this.#calls, methods });
        started.once("cancelled", () => stream.cancelled());
      } catch (error) {
        started.emit("error", this.#errorOf(error));
      }
    };
  }

  #unary(contract: DescService, localName: string): grpc.handleUnaryCall<Message, Message> {
    return (started, respond) => {
      const abort = new AbortController();
      const release = abortWhenCancelled(started, abort);
      const perform = async () => {
        const { method, call } = this.#accept(contract, localName, started, abort.signal);
        return this.#options.methods.perform(method, started.request, call);
      };
      perform()
        .finally(release)
        .then(
          (reply) => {
            // Together with the message: before it, it would be one more packet.
            started.sendMetadata(this.#metadata);
            respond(null, reply);
          },
          (error: unknown) => respond(this.#errorOf(error)),
        );
    };
  }

  #streaming(contract: DescService, localName: string): grpc.handleServerStreamingCall<Message, Message> {
    return (started) => {
      const abort = new AbortController();
      const release = abortWhenCancelled(started, abort);
      const perform = async () => {
        const accepted = this.#accept(contract, localName, started, abort.signal);
        started.sendMetadata(this.#metadata);
        await this.#calls.stream({ ...accepted, request: started.request, abort, send: (message) => written(started, message) });
      };
      perform()
        .finally(release)
        .then(
          () => started.end(),
          (error: unknown) => started.emit("error", this.#errorOf(error)),
        );
    };
  }

  #accept(contract: DescService, localName: string, started: Started, signal: AbortSignal): Accepted {
    const deadline = started.getDeadline();
    const untilMs = typeof deadline === "number" ? deadline : deadline.getTime();
    const timeoutMs = Number.isFinite(untilMs) ? untilMs - Date.now() : defaultTimeoutMs;
    return acceptCall(this.#options, { contract, localName, ...this.#shownBy(started), timeoutMs, signal });
  }

  /** What says who calls. */
  #shownBy(started: Pick<Started, "metadata" | "getAuthContext">): Shown {
    const { tls } = this.#options;
    return {
      header: (name) => {
        const [value] = started.metadata.get(name);
        return typeof value === "string" ? value : undefined;
      },
      identities:
        tls && this.#calls.identitiesOf(connectionOf(started), () => tls.identitiesOf(started.getAuthContext().sslPeerCertificate)),
    };
  }

  #errorOf(error: unknown): grpc.ServiceError {
    const { refusal, notExecuted } = this.#calls.failure(error);
    const metadata = this.#metadata.clone();
    metadata.set("grpc-status-details-bin", Buffer.from(encodeRefusal(refusal)));
    if (notExecuted) metadata.set(responseHeaders.notExecuted, "1");
    // This text travels as a header, so it must be well-formed and short; the details have all of it.
    return Object.assign(new Error(refusal.message), {
      code: statusOf[refusal.code],
      details: refusal.message.slice(0, 200).toWellFormed(),
      metadata,
    });
  }
}

const malformed = Object.assign(new Error("not a frame"), { code: grpc.status.INVALID_ARGUMENT });

/** Until the function that it returns is called: grpc-js reports every call as cancelled at its end, and an abort is expensive. */
function abortWhenCancelled(started: Started, abort: AbortController): () => void {
  const onCancelled = () => abort.abort();
  started.once("cancelled", onCancelled);
  return () => started.off("cancelled", onCancelled);
}

/** The HTTP/2 session that a call came by. grpc-js does not offer it; where it is not found, only time is lost. */
function connectionOf(started: object): object | undefined {
  const { call } = started as { readonly call?: { readonly stream?: { readonly session?: object } } };
  return call?.stream?.session;
}

/** Resolves when the message is on its way, or never will be: so a handler is ahead of its reader by no more than the connection's buffers. */
function written(stream: grpc.ServerWritableStream<Message, Message>, message: Message): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stream.off("cancelled", done);
      resolve();
    };
    stream.once("cancelled", done);
    stream.write(message, done);
  });
}
