import * as grpc from "@grpc/grpc-js";
import { CallStreams, NoCallStreams } from "./call-stream/call-streams.ts";
import type { OpenedStream } from "./call-stream/call-streams.ts";
import { ClientCallStream } from "./call-stream/client-call-stream.ts";
import type { ClientCalls } from "./client-calls.ts";
import type { Channels } from "./grpc-channels.ts";
import { callStreamDefinition } from "./grpc-methods.ts";
import { responseHeaders } from "./wire-call.ts";

/** A callee that does not respond by then is asked again later. */
const openMs = 5_000;

/** The call streams of a transport: for each channel and caller its own, because a stream's headers say who calls. */
export class GrpcCallStreams {
  readonly #channels: Channels;
  readonly #calls: ClientCalls;
  readonly #streams = new Map<grpc.Channel, Map<string, CallStreams>>();

  constructor(channels: Channels, calls: ClientCalls) {
    this.#channels = channels;
    this.#calls = calls;
  }

  /** The stream that a call by this channel goes on; undefined when there is none now. */
  next(channel: grpc.Channel, caller: string): ClientCallStream | undefined {
    let ofChannel = this.#streams.get(channel);
    if (ofChannel === undefined) this.#streams.set(channel, (ofChannel = new Map()));
    let streams = ofChannel.get(caller);
    if (streams === undefined) ofChannel.set(caller, (streams = new CallStreams((closed) => this.#open(channel, caller, closed))));
    return streams.next();
  }

  close(): void {
    for (const ofChannel of this.#streams.values()) for (const streams of ofChannel.values()) streams.close();
  }

  #open(channel: grpc.Channel, caller: string, closed: (stream: ClientCallStream) => void): Promise<OpenedStream> {
    const metadata = new grpc.Metadata();
    for (const [name, value] of Object.entries(this.#calls.partyHeaders(caller))) metadata.set(name, value);
    const { path, requestSerialize, responseDeserialize } = callStreamDefinition;
    const carrier = this.#channels.clientOf(channel).makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => carrier.cancel(), openMs).unref();
      carrier.on("error", (error: grpc.ServiceError) => {
        clearTimeout(late);
        reject(error.code === grpc.status.UNIMPLEMENTED ? new NoCallStreams() : error);
      });
      carrier.once("metadata", (response) => {
        clearTimeout(late);
        const [server] = response.get(responseHeaders.server);
        const [instance] = response.get(responseHeaders.instance);
        if (typeof server !== "string") {
          carrier.cancel();
          return reject(new Error("the response to a call stream does not say which server gives it"));
        }
        const responded = () => this.#calls.responded(instance);
        resolve({ server, stream: new ClientCallStream({ carrier: { stream: carrier, cut: () => carrier.cancel() }, responded, closed }) });
      });
    });
  }
}
