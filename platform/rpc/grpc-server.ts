import type { DescService, Message } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { Health } from "@kontor/contracts/gen/grpc/health/v1/health_pb.js";
import { contractOf } from "../contract/contract.ts";
import { refusalIn, refuse } from "../errors/refusal.ts";
import type { Refusal } from "../errors/refusal.ts";
import { acceptCall, NotServedHere } from "./accept-call.ts";
import type { Accepted } from "./accept-call.ts";
import { createHealth } from "./grpc-health.ts";
import { definitionOf } from "./grpc-methods.ts";
import { createReflection } from "./grpc-reflection.ts";
import { defaultTimeoutMs, stopMs } from "./rpc-server.ts";
import type { RpcServer, RpcServerOptions } from "./rpc-server.ts";
import { notServed } from "./faults.ts";
import { answerHeaders, messageBytesMax } from "./wire-call.ts";
import { encodeRefusal, statusOf } from "./wire-problem.ts";

export interface GrpcServerOptions extends RpcServerOptions {
  /** Whether anybody may ask what is served: for tools such as grpcurl. Off by default. */
  readonly reflection?: boolean;
}

/** What both kinds of calls have of grpc-js. */
type Started = Pick<grpc.ServerUnaryCall<Message, Message>, "metadata" | "getDeadline" | "getAuthContext"> &
  Pick<NodeJS.EventEmitter, "once" | "off">;

/** Serves this process's methods over gRPC, with the health service beside them. */
export function createGrpcServer(options: GrpcServerOptions): RpcServer {
  const { methods, tls, ready, instance, log, reflection = false } = options;
  const server = new grpc.Server({
    "grpc.max_receive_message_length": messageBytesMax,
    "grpc.max_send_message_length": messageBytesMax,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 5_000,
    // Connections are made anew now and then, so that callers find replicas that were added.
    "grpc.max_connection_age_ms": 600_000,
    "grpc.max_connection_age_grace_ms": 60_000,
    // Counts of its own that nobody reads.
    "grpc.enable_channelz": 0,
  });
  const health = createHealth({ ready, log });
  const streams = new Set<AbortController>();
  const identities = new WeakMap<object, readonly string[]>();
  const identity = new grpc.Metadata();
  identity.set(answerHeaders.instance, instance);
  let stopping = false;

  function accept(contract: DescService, localName: string, started: Started, gone: AbortController): Accepted {
    const deadline = started.getDeadline();
    const untilMs = typeof deadline === "number" ? deadline : deadline.getTime();
    return acceptCall(options, {
      contract,
      localName,
      header: (name) => {
        const [value] = started.metadata.get(name);
        return typeof value === "string" ? value : undefined;
      },
      identities: identitiesOf(started),
      timeoutMs: Number.isFinite(untilMs) ? untilMs - Date.now() : defaultTimeoutMs,
      signal: gone.signal,
    });
  }

  /** Of a connection they stay the same, and reading them costs half as much as the call. */
  function identitiesOf(started: Started): readonly string[] | undefined {
    if (tls === undefined) return undefined;
    const connection = connectionOf(started);
    const known = connection === undefined ? undefined : identities.get(connection);
    if (known !== undefined) return known;
    const read = tls.identitiesOf(started.getAuthContext().sslPeerCertificate);
    if (connection !== undefined && read !== undefined) identities.set(connection, read);
    return read;
  }

  function unary(contract: DescService, localName: string): grpc.handleUnaryCall<Message, Message> {
    return (started, answer) => {
      const work = async () => {
        const { method, call } = accept(contract, localName, started, gone);
        return methods.perform(method, started.request, call);
      };
      const gone = new AbortController();
      const over = abortWhenCancelled(started, gone);
      work()
        .finally(over)
        .then(
          (reply) => {
            // With the answer, not before it: on its own it would be one more packet.
            started.sendMetadata(identity);
            answer(null, reply);
          },
          (error: unknown) => answer(failureOf(error)),
        );
    };
  }

  function streaming(contract: DescService, localName: string): grpc.handleServerStreamingCall<Message, Message> {
    return (started) => {
      const gone = new AbortController();
      const work = async () => {
        const { method, call } = accept(contract, localName, started, gone);
        streams.add(gone);
        started.sendMetadata(identity);
        for await (const message of methods.stream(method, started.request, call)) {
          if (!started.cancelled) await written(started, message);
          if (started.cancelled) return;
        }
      };
      const over = abortWhenCancelled(started, gone);
      work()
        .finally(() => {
          over();
          streams.delete(gone);
        })
        .then(
          () => started.end(),
          (error: unknown) => started.emit("error", failureOf(stopping && gone.signal.aborted ? notServed(contract.typeName) : error)),
        );
    };
  }

  function failureOf(error: unknown): grpc.ServiceError {
    const notExecuted = error instanceof NotServedHere;
    const told = notExecuted ? notServed(error.message) : toldFor(error);
    const metadata = identity.clone();
    metadata.set("grpc-status-details-bin", Buffer.from(encodeRefusal(told)));
    if (notExecuted) metadata.set(answerHeaders.notExecuted, "1");
    // The text travels as a header, which has no half characters and is not long; all of it is in the details.
    return Object.assign(new Error(told.message), {
      code: statusOf[told.code],
      details: told.message.slice(0, 200).toWellFormed(),
      metadata,
    });
  }

  function toldFor(error: unknown): Refusal {
    const refusal = refusalIn(error);
    if (refusal === undefined) log.error({ error }, "fault in the rpc server");
    return refusal ?? refuse({ reason: "INTERNAL_ERROR", code: "internal" });
  }

  function addServices(): void {
    const contracts = new Set([...methods.routes.values()].flatMap((routes) => routes.map(({ service }) => service)));
    for (const contract of contracts) {
      const definition: Record<string, grpc.MethodDefinition<Message, Message>> = {};
      const implementation: grpc.UntypedServiceImplementation = {};
      for (const desc of contract.methods) {
        const { method, streams } = contractOf(desc);
        definition[method.localName] = definitionOf(contract, method, streams);
        implementation[method.localName] = streams ? streaming(contract, method.localName) : unary(contract, method.localName);
      }
      server.addService(definition, implementation);
    }
    server.addService(health.definition, health.implementation);
    if (!reflection) return;
    const { definition, implementation } = createReflection([...contracts, Health]);
    server.addService(definition, implementation);
  }

  let stopped: Promise<void> | undefined;
  return {
    async start(host, port) {
      addServices();
      const credentials = tls?.serverCredentials() ?? grpc.ServerCredentials.createInsecure();
      return new Promise((resolve, reject) => {
        const address = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
        server.bindAsync(address, credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
      });
    },
    stop: () =>
      (stopped ??= new Promise((resolve) => {
        stopping = true;
        health.stop();
        for (const gone of streams) gone.abort();
        const cut = setTimeout(() => server.forceShutdown(), stopMs);
        server.tryShutdown(() => {
          clearTimeout(cut);
          resolve();
        });
      })),
  };
}

/** Until the function that it gives is called: grpc-js says of every call at its end that it was cancelled, and an abort is dear. */
function abortWhenCancelled(started: Started, gone: AbortController): () => void {
  const abort = () => gone.abort();
  started.once("cancelled", abort);
  return () => started.off("cancelled", abort);
}

/** The HTTP/2 session that a call came by. grpc-js does not offer it; where it is not found, nothing is lost but time. */
function connectionOf(started: object): object | undefined {
  const { call } = started as { readonly call?: { readonly stream?: { readonly session?: object } } };
  return call?.stream?.session;
}

/** Resolves when the message is on its way, or never will be: so that a handler is not further than its reader by more than the connection holds. */
function written(stream: grpc.ServerWritableStream<Message, Message>, message: Message): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      stream.off("cancelled", go);
      resolve();
    };
    stream.once("cancelled", go);
    stream.write(message, go);
  });
}
