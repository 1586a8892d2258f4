import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, DescService, Message } from "@bufbuild/protobuf";
import type { MethodDefinition } from "@grpc/grpc-js";
import { callStreamPath } from "./call-stream/upgrade.ts";

interface WireMethod {
  readonly name: string;
  readonly input: DescMessage;
  readonly output: DescMessage;
}

/** A method as grpc-js wants it, for the server and for the client. */
export function definitionOf(
  contract: DescService,
  { name, input, output }: WireMethod,
  streams: boolean,
): MethodDefinition<Message, Message> {
  return {
    path: `/${contract.typeName}/${name}`,
    requestStream: false,
    responseStream: streams,
    requestSerialize: (message) => bufferOf(toBinary(input, message)),
    requestDeserialize: (bytes) => fromBinary(input, bytes),
    responseSerialize: (message) => bufferOf(toBinary(output, message)),
    responseDeserialize: (bytes) => fromBinary(output, bytes),
  };
}

const bufferOf = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const same = (bytes: Buffer) => bytes;

/** The method that carries the calls between processes of the shop. Its messages are chunks of frames: see call-stream/frames.ts. */
export const callStreamDefinition: MethodDefinition<Buffer, Buffer> = {
  path: callStreamPath,
  requestStream: true,
  responseStream: true,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
};
