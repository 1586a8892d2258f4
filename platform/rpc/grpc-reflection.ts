import { create, createRegistry, toBinary } from "@bufbuild/protobuf";
import type { DescExtension, DescFile, DescService, MessageInitShape } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { ServerReflection, ServerReflectionResponseSchema } from "@kontor/contracts/gen/grpc/reflection/v1/reflection_pb.js";
import type { ServerReflectionRequest, ServerReflectionResponse } from "@kontor/contracts/gen/grpc/reflection/v1/reflection_pb.js";
import * as grpc from "@grpc/grpc-js";
import { definitionOf } from "./grpc-methods.ts";

type Response = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"]>;

/** The reflection service: lists these services and their descriptors for anybody, so that tools can call them. */
export function createReflection(services: readonly DescService[]) {
  const files = new Map<string, DescFile>();
  for (const { file } of services) addWithImports(file, files);
  const byName = new Map([...files.values()].map((file) => [`${file.name}.proto`, file]));
  const registry = createRegistry(...files.values());

  function responseTo({ messageRequest }: ServerReflectionRequest): Response {
    switch (messageRequest.case) {
      case "listServices":
        return { case: "listServicesResponse", value: { service: services.map(({ typeName: name }) => ({ name })) } };
      case "fileByFilename":
        return withImports(byName.get(messageRequest.value), messageRequest.value);
      case "fileContainingSymbol":
        return withImports(fileOf(messageRequest.value), messageRequest.value);
      case "fileContainingExtension": {
        const { containingType, extensionNumber } = messageRequest.value;
        const found = extensionsOf(containingType).find(({ number }) => number === extensionNumber);
        return withImports(found?.file, `${containingType} ${extensionNumber}`);
      }
      case "allExtensionNumbersOfType": {
        const extensionNumber = extensionsOf(messageRequest.value).map(({ number }) => number);
        return { case: "allExtensionNumbersResponse", value: { baseTypeName: messageRequest.value, extensionNumber } };
      }
      case undefined:
        return failure(grpc.status.INVALID_ARGUMENT, "the request is empty");
    }
  }

  /** A symbol may also be within one that has a file: a method, a field, a value. */
  function fileOf(symbol: string): DescFile | undefined {
    for (let name = symbol; name !== ""; name = name.slice(0, Math.max(0, name.lastIndexOf(".")))) {
      const found = registry.get(name);
      if (found !== undefined) return found.file;
    }
    return undefined;
  }

  function extensionsOf(typeName: string): DescExtension[] {
    return [...registry].filter((type) => type.kind === "extension" && type.extendee.typeName === typeName) as DescExtension[]; // the filter says so
  }

  const info: grpc.handleBidiStreamingCall<ServerReflectionRequest, ServerReflectionResponse> = (stream) => {
    stream.on("data", (originalRequest: ServerReflectionRequest) => {
      const messageResponse = responseTo(originalRequest);
      stream.write(create(ServerReflectionResponseSchema, { validHost: originalRequest.host, originalRequest, messageResponse }));
    });
    stream.on("end", () => stream.end());
  };

  const method = ServerReflection.method.serverReflectionInfo;
  const implementation: grpc.UntypedServiceImplementation = { info };
  return { definition: { info: { ...definitionOf(ServerReflection, method, true), requestStream: true } }, implementation };
}

function withImports(file: DescFile | undefined, name: string): Response {
  if (file === undefined) return failure(grpc.status.NOT_FOUND, `${name} is not known here`);
  const files = [...addWithImports(file, new Map()).values()];
  return {
    case: "fileDescriptorResponse",
    value: { fileDescriptorProto: files.map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto)) },
  };
}

function failure(errorCode: grpc.status, errorMessage: string): Response {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}

/** The file and all that it imports, by name. */
function addWithImports(file: DescFile, files: Map<string, DescFile>): Map<string, DescFile> {
  if (files.has(file.name)) return files;
  files.set(file.name, file);
  for (const imported of file.dependencies) addWithImports(imported, files);
  return files;
}
