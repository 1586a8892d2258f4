import * as grpc from "@grpc/grpc-js";

export interface UnaryStart {
  readonly path: string;
  /** A time of day. */
  readonly deadline: number;
  readonly metadata: grpc.Metadata;
  readonly request: Buffer;
  readonly responded: (message: Buffer, metadata: grpc.Metadata | undefined) => void;
  readonly failed: (status: grpc.StatusObject) => void;
}

/** A call under way. */
export interface UnaryCall {
  cancel(): void;
}

/**
 * One request and one response, by the channel itself: what grpc-js has above it (emitters, interceptors, a stack trace for each call) costs as much as
 * the rest of the call.
 */
export function startUnary(channel: grpc.Channel, { path, deadline, metadata, request, responded, failed }: UnaryStart): UnaryCall {
  const call = channel.createCall(path, deadline, null, null, null);
  let head: grpc.Metadata | undefined;
  let message: Buffer | undefined;
  call.start(metadata, {
    onReceiveMetadata: (received) => {
      head = received;
    },
    onReceiveMessage: (received: Buffer) => {
      message = received;
    },
    onReceiveStatus(status) {
      if (status.code !== grpc.status.OK) failed(status);
      else if (message === undefined) failed({ ...status, code: grpc.status.INTERNAL, details: "a response without a message" });
      else responded(message, head);
    },
  });
  call.startRead();
  call.sendMessageWithContext({}, request);
  call.halfClose();
  return { cancel: () => call.cancelWithStatus(grpc.status.CANCELLED, "its caller has disconnected") };
}
