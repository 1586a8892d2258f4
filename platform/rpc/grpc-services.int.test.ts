import assert from "node:assert/strict";
import { once } from "node:events";
import { after, describe, it } from "node:test";
import { create, createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import {
  Health,
  HealthCheckRequestSchema,
  HealthCheckResponse_ServingStatus as Status,
} from "@kontor/contracts/gen/grpc/health/v1/health_pb.js";
import type { HealthCheckResponse } from "@kontor/contracts/gen/grpc/health/v1/health_pb.js";
import { ServerReflection, ServerReflectionRequestSchema } from "@kontor/contracts/gen/grpc/reflection/v1/reflection_pb.js";
import type { ServerReflectionRequest, ServerReflectionResponse } from "@kontor/contracts/gen/grpc/reflection/v1/reflection_pb.js";
import * as grpc from "@grpc/grpc-js";
import { definitionOf } from "./grpc-methods.ts";
import { createReflection } from "./grpc-reflection.ts";
import { greeterHandlers, GreeterService } from "./test-greeter.ts";
import { implement } from "./rpc.ts";
import { serveOver } from "./test-wire.ts";

// The services that public tools expect of a gRPC server, called by a client that is not ours.

const closing: (() => Promise<void> | void)[] = [];
after(async () => {
  for (const close of closing.toReversed()) await close();
});

async function open(options: { readonly ready?: () => Promise<boolean>; readonly reflection?: boolean } = {}) {
  const server = await serveOver("grpc", { services: { greeter: [implement(GreeterService, greeterHandlers)] }, ...options });
  const client = new grpc.Client(server.address, grpc.credentials.createInsecure());
  closing.push(() => server.stop());
  closing.push(() => client.close());
  return { server, client };
}

const healthOf = { check: definitionOf(Health, Health.method.check, false), watch: definitionOf(Health, Health.method.watch, true) };
const anything = create(HealthCheckRequestSchema);

function check(client: grpc.Client): Promise<Status> {
  const { path, requestSerialize, responseDeserialize } = healthOf.check;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, anything, (error, response) => {
      if (error === null) resolve((response as HealthCheckResponse).status);
      else reject(error);
    });
  });
}

describe("gRPC health", () => {
  it("says whether the process is ready, to anybody", async () => {
    let ready = true;
    const { client } = await open({ ready: async () => ready });
    assert.equal(await check(client), Status.SERVING);
    ready = false;
    assert.equal(await check(client), Status.NOT_SERVING);
  });

  it("a process that cannot find out is not ready", async () => {
    const { client } = await open({ ready: () => Promise.reject(new Error("the database is unavailable")) });
    assert.equal(await check(client), Status.NOT_SERVING);
  });

  it("sends watchers the current status, each change, and that the process stops", async () => {
    let ready = false;
    const { server, client } = await open({ ready: async () => ready });
    const { path, requestSerialize, responseDeserialize } = healthOf.watch;
    const watches = [1, 2].map(() => client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, anything));
    const received = watches.map(async (watch) => {
      const statuses: Status[] = [];
      for await (const response of watch as AsyncIterable<Message>) {
        statuses.push((response as HealthCheckResponse).status);
        if (statuses.length === 1) ready = true;
        if (statuses.length === 2) void server.stop();
      }
      return statuses;
    });
    for (const statuses of await Promise.all(received))
      assert.deepEqual(statuses, [Status.NOT_SERVING, Status.SERVING, Status.NOT_SERVING]);
  });
});

const { info } = createReflection([]).definition;

function ask(client: grpc.Client) {
  const { requestSerialize, responseDeserialize } = info;
  const path = `/${ServerReflection.typeName}/ServerReflectionInfo`;
  const stream = client.makeBidiStreamRequest<Message, Message>(path, requestSerialize, responseDeserialize);
  return {
    stream,
    async about(messageRequest: ServerReflectionRequest["messageRequest"]) {
      stream.write(create(ServerReflectionRequestSchema, { messageRequest }));
      const [response] = (await once(stream, "data")) as [ServerReflectionResponse];
      return response.messageResponse;
    },
  };
}

describe("gRPC reflection", () => {
  it("is off unless it is switched on", async () => {
    const { client } = await open();
    await assert.rejects(ask(client).about({ case: "listServices", value: "" }), { code: grpc.status.UNIMPLEMENTED });
  });

  it("lists the services, and gives a service's file with all that it needs", async () => {
    const { client } = await open({ reflection: true });
    const { stream, about } = ask(client);
    const list = await about({ case: "listServices", value: "" });
    assert.ok(list.case === "listServicesResponse");
    assert.deepEqual(list.value.service.map(({ name }) => name).toSorted(), [Health.typeName, GreeterService.typeName].toSorted());
    for (const value of [GreeterService.typeName, `${GreeterService.typeName}.Greet`]) {
      const found = await about({ case: "fileContainingSymbol", value });
      assert.ok(found.case === "fileDescriptorResponse");
      const file = found.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
      assert.equal(file[0]?.service[0]?.name, "GreeterService");
      const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: file.toReversed() }));
      assert.deepEqual(
        registry.getService(GreeterService.typeName)?.methods.map(({ name, methodKind }) => `${name} ${methodKind}`),
        GreeterService.methods.map(({ name, methodKind }) => `${name} ${methodKind}`),
      );
    }
    const unknown = await about({ case: "fileContainingSymbol", value: "nowhere.At.All" });
    assert.ok(unknown.case === "errorResponse");
    assert.equal(unknown.value.errorCode, grpc.status.NOT_FOUND);
    stream.end();
  });

  it("gives files by name, and the extensions that the contracts use", async () => {
    const { client } = await open({ reflection: true });
    const { stream, about } = ask(client);
    const name = "kontor/testing/v1/testing.proto";
    const file = await about({ case: "fileByFilename", value: name });
    assert.ok(file.case === "fileDescriptorResponse");
    assert.equal(fromBinary(FileDescriptorProtoSchema, file.value.fileDescriptorProto[0]!).name, name);
    const numbers = await about({ case: "allExtensionNumbersOfType", value: "google.protobuf.FieldOptions" });
    assert.ok(numbers.case === "allExtensionNumbersResponse");
    assert.ok(numbers.value.extensionNumber.includes(50010), String(numbers.value.extensionNumber));
    const rules = { containingType: "google.protobuf.FieldOptions", extensionNumber: 50010 };
    const extension = await about({
      case: "fileContainingExtension",
      value: { $typeName: "grpc.reflection.v1.ExtensionRequest", ...rules },
    });
    assert.ok(extension.case === "fileDescriptorResponse");
    assert.equal(fromBinary(FileDescriptorProtoSchema, extension.value.fileDescriptorProto[0]!).name, "kontor/api/v1/options.proto");
    const nothing = await about({ case: undefined });
    assert.equal(nothing.case, "errorResponse");
    stream.end();
  });
});
