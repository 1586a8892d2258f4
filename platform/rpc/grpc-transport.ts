import { performance } from "node:perf_hooks";
import type { Message } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import type { MethodContract } from "../contract/contract.ts";
import { refuse } from "../errors/refusal.ts";
import type { Call } from "../call/call.ts";
import { formatTraceparent } from "../call/trace.ts";
import { definitionOf } from "./grpc-methods.ts";
import { startUnary } from "./grpc-unary.ts";
import { patienceMs, TransportFailure } from "./transport.ts";
import type { Transport, TransportOptions } from "./transport.ts";
import { answerHeaders, encodeFacts, messageBytesMax, wireHeaders } from "./wire-call.ts";
import { decodeRefusal } from "./wire-problem.ts";

const channelOptions: grpc.ChannelOptions = {
  "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  "grpc.service_config_disable_resolution": 1,
  // A channel of its own for each: a test, or a second house in this process, must not share a connection that the other one closes.
  "grpc.use_local_subchannel_pool": 1,
  // What never came to a handler is still sent again.
  "grpc.enable_retries": 0,
  // A process that was replaced is found by its name again as soon as its connection ends, and not half a minute later.
  "grpc.dns_min_time_between_resolutions_ms": 1_000,
  // Counts of its own that nobody reads.
  "grpc.enable_channelz": 0,
  "grpc.enable_http_proxy": 0,
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
  "grpc.max_receive_message_length": messageBytesMax,
  "grpc.max_send_message_length": messageBytesMax,
};

/** Calls to one service over gRPC: to each address in turn, leaving out those that cannot be reached. */
export function createGrpcTransport({ service, addresses, callers, tls, heard }: TransportOptions): Transport {
  const credentials = tls?.channelCredentials(service) ?? grpc.credentials.createInsecure();
  // The certificate must name the service, whatever its host is called; an address cannot be asked for by its number in TLS.
  const options = tls === undefined ? channelOptions : { ...channelOptions, "grpc.ssl_target_name_override": service };
  const channels = addresses.map((address) => new grpc.Channel(`dns:///${address}`, credentials, options));
  const clients = new Map(channels.map((channel) => [channel, new grpc.Client("", credentials, { channelOverride: channel })]));
  const definitions = new WeakMap<MethodContract, grpc.MethodDefinition<Message, Message>>();
  const patientUntilMs = performance.now() + patienceMs;
  let answered = false;
  let turn = 0;

  function definition(method: MethodContract): grpc.MethodDefinition<Message, Message> {
    let known = definitions.get(method);
    if (known === undefined) definitions.set(method, (known = definitionOf(method.service, method.method, method.streams)));
    return known;
  }

  function next(): grpc.Channel {
    for (let tries = 0; tries < channels.length; tries++) {
      const channel = channels[turn++ % channels.length]!;
      if (channels.length === 1) return channel;
      const state = channel.getConnectivityState(true);
      if (state === grpc.connectivityState.READY) return channel;
      // One that is not connected yet is waited for only when there is no other.
      if (state === grpc.connectivityState.IDLE && tries === channels.length - 1) return channel;
    }
    return channels[turn++ % channels.length]!;
  }

  function metadataOf(call: Call): grpc.Metadata {
    const patient = !answered && performance.now() < patientUntilMs;
    const metadata = new grpc.Metadata(patient ? { waitForReady: true } : {});
    metadata.set(wireHeaders.service, service);
    metadata.set(wireHeaders.caller, call.caller);
    metadata.set(wireHeaders.facts, encodeFacts(call));
    metadata.set(wireHeaders.trace, formatTraceparent(call.trace));
    const token = callers.token(call.caller);
    if (token !== undefined) metadata.set(wireHeaders.token, token);
    return metadata;
  }

  function hear(metadata: grpc.Metadata | undefined): void {
    const [instance] = metadata?.get(answerHeaders.instance) ?? [];
    if (typeof instance === "string") heard?.(instance);
  }

  function failed(status: grpc.StatusObject): Error {
    hear(status.metadata);
    const failure = failureOf(status);
    answered ||= !(failure instanceof TransportFailure);
    return failure;
  }

  return {
    unary(method, request, call) {
      const { path, requestSerialize, responseDeserialize } = definition(method);
      return new Promise((resolve, reject) => {
        const started = startUnary(next(), {
          path,
          deadline: deadlineOf(call),
          metadata: metadataOf(call),
          request: requestSerialize(request),
          answered(message, metadata) {
            letGo();
            answered = true;
            if (heard !== undefined) hear(metadata);
            try {
              resolve(responseDeserialize(message));
            } catch (error) {
              reject(new TransportFailure("the answer is none", { cause: error }));
            }
          },
          failed(status) {
            letGo();
            reject(failed(status));
          },
        });
        const letGo = cancelWith(call, started);
      });
    },
    async *stream(method, request, call) {
      const { path, requestSerialize, responseDeserialize } = definition(method);
      const options = { deadline: deadlineOf(call) };
      const started = clients
        .get(next())!
        .makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, metadataOf(call), options);
      // The loop is told of it too; it may have been left by then.
      started.on("error", () => undefined);
      if (heard !== undefined) started.once("metadata", hear);
      const letGo = cancelWith(call, started);
      try {
        for await (const message of started) yield message as Message;
        answered = true;
      } catch (error) {
        throw isStatus(error) ? failed(error) : error;
      } finally {
        letGo();
        started.cancel();
      }
    },
    close() {
      for (const channel of channels) channel.close();
    },
  };
}

/** gRPC's deadline is a time of day. */
const deadlineOf = (call: Call) => (Number.isFinite(call.deadlineMs) ? Date.now() + call.remainingMs() : Infinity);

/** Ends what was started when the call's own caller goes away. */
function cancelWith(call: Call, started: { cancel(): void }): () => void {
  const { callerSignal } = call;
  if (callerSignal === undefined) return () => undefined;
  const cancel = () => started.cancel();
  callerSignal.addEventListener("abort", cancel, { once: true });
  return () => callerSignal.removeEventListener("abort", cancel);
}

const isStatus = (error: unknown): error is grpc.ServiceError => error instanceof Error && "metadata" in error;

/** The callee's refusal, or what happened on the way. */
function failureOf({ code, details, metadata }: grpc.StatusObject): Error {
  const notExecuted = metadata.get(answerHeaders.notExecuted).length > 0;
  const [problem] = metadata.get("grpc-status-details-bin");
  const refusal = typeof problem === "object" ? decodeRefusal(problem) : undefined;
  if (refusal !== undefined && !notExecuted) return refusal;
  const cause = new Error(`${grpc.status[code]}: ${details}`);
  if (code === grpc.status.DEADLINE_EXCEEDED || code === grpc.status.CANCELLED)
    return refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded", cause });
  // A message that is too large is so the next time too.
  if (code === grpc.status.RESOURCE_EXHAUSTED) return refuse({ reason: "INTERNAL_ERROR", code: "internal", cause });
  // The first is grpc-js's answer for a method that the server does not have; the other its word for a connection that was being closed.
  const unasked = code === grpc.status.UNIMPLEMENTED || details === "Stream refused by server";
  return new TransportFailure(cause.message, { notExecuted: notExecuted || unasked });
}
