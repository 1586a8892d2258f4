import { create, toBinary } from "@bufbuild/protobuf";
import { LineSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import * as grpc from "@grpc/grpc-js";
import { rpcContract } from "./rpc.contract.ts";
import { GreeterService } from "./test-greeter.ts";
import { overWire } from "./test-wire.ts";
import { wireContract } from "./wire.contract.ts";
import type { SendRaw } from "./wire-access.contract.ts";
import { decodeRefusal } from "./wire-problem.ts";

rpcContract("gRPC", overWire("grpc"));

/** By a client of its own for each, as one that is not ours has it. */
const send: SendRaw = (address, { path, headers, body = new Uint8Array() }) => {
  const client = new grpc.Client(address, grpc.credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  const same = (bytes: Buffer) => bytes;
  return new Promise<string>((resolve) => {
    client.makeUnaryRequest(path, same, same, Buffer.from(body), metadata, { deadline: Date.now() + 10_000 }, (error) => {
      const [details] = error?.metadata?.get("grpc-status-details-bin") ?? [];
      const refusal = typeof details === "object" ? decodeRefusal(details) : undefined;
      resolve(error === null ? "succeeded" : (refusal?.reason ?? grpc.status[error.code]));
    });
  }).finally(() => client.close());
};

wireContract({
  protocol: "grpc",
  send,
  path: `/${GreeterService.typeName}/Greet`,
  body: toBinary(LineSchema, create(LineSchema, { sku: "tea", quantity: 1 })),
});
