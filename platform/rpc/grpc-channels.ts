import * as grpc from "@grpc/grpc-js";
import type { TransportOptions } from "./transport.ts";
import { messageBytesMax } from "./wire-call.ts";

const channelOptions: grpc.ChannelOptions = {
  "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  "grpc.service_config_disable_resolution": 1,
  // A channel of its own for each: a test, or a second app in this process, must not share a connection that the other one closes.
  "grpc.use_local_subchannel_pool": 1,
  // A call that never came to a handler is sent again even so.
  "grpc.enable_retries": 0,
  // A process that was replaced is found by its name again as soon as its connection ends, and not half a minute later.
  "grpc.dns_min_time_between_resolutions_ms": 1_000,
  // Statistics of grpc-js that are not read.
  "grpc.enable_channelz": 0,
  "grpc.enable_http_proxy": 0,
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
  "grpc.max_receive_message_length": messageBytesMax,
  "grpc.max_send_message_length": messageBytesMax,
};

/** Channels to a service's addresses, in turn. */
export class Channels {
  readonly #channels: readonly grpc.Channel[];
  readonly #clients: ReadonlyMap<grpc.Channel, grpc.Client>;
  #turn = 0;

  constructor({ service, addresses, tls }: TransportOptions) {
    const credentials = tls?.channelCredentials(service) ?? grpc.credentials.createInsecure();
    // The certificate must name the service, whatever its host is called; TLS has no server name for an IP address.
    const options = tls === undefined ? channelOptions : { ...channelOptions, "grpc.ssl_target_name_override": service };
    this.#channels = addresses.map((address) => new grpc.Channel(`dns:///${address}`, credentials, options));
    this.#clients = new Map(this.#channels.map((channel) => [channel, new grpc.Client("", credentials, { channelOverride: channel })]));
  }

  next(): grpc.Channel {
    const channels = this.#channels;
    for (let tries = 0; tries < channels.length; tries++) {
      const channel = channels[this.#turn++ % channels.length]!;
      if (channels.length === 1) return channel;
      const state = channel.getConnectivityState(true);
      if (state === grpc.connectivityState.READY) return channel;
      // One that is not connected yet is waited for only when there is no other.
      if (state === grpc.connectivityState.IDLE && tries === channels.length - 1) return channel;
    }
    return channels[this.#turn++ % channels.length]!;
  }

  clientOf(channel: grpc.Channel): grpc.Client {
    return this.#clients.get(channel)!; // each channel has one
  }

  close(): void {
    for (const channel of this.#channels) channel.close();
  }
}
