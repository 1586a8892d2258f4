import { create, createFileRegistry, setExtension } from "@bufbuild/protobuf";
import type { DescFile, DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import type { GenService } from "@bufbuild/protobuf/codegenv2";
import { FileDescriptorProtoSchema, MethodOptionsSchema } from "@bufbuild/protobuf/wkt";
import { http } from "@kontor/contracts/gen/google/api/annotations_pb.js";
import { HttpRuleSchema } from "@kontor/contracts/gen/google/api/http_pb.js";
import type { Allow } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { access, AccessSchema, rest, RestSchema } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";

export interface DescribedMethod<I extends DescMessage = DescMessage, O extends DescMessage = DescMessage> {
  readonly input: I;
  readonly output: O;
  /** Absent: the method has no access option at all. */
  readonly allow?: readonly Allow[];
  /** The services that may call it as internal; absent: any. */
  readonly callers?: readonly string[];
  /** Whether its response is a stream of messages. */
  readonly streams?: boolean;
  readonly http?: MessageInitShape<typeof HttpRuleSchema>;
  readonly rest?: MessageInitShape<typeof RestSchema>;
}

type Described<M extends Readonly<Record<string, DescribedMethod>>> = GenService<{
  [K in keyof M & string]: {
    methodKind: M[K]["streams"] extends true ? "server_streaming" : "unary";
    input: M[K]["input"];
    output: M[K]["output"];
  };
}>;

/**
 * Makes a contract at run time from messages that exist, for tests of engines and of the edge: they need methods that no real
 * service may have, such as one without an access option. Method names are in lowerCamelCase.
 */
export function describeService<const M extends Readonly<Record<string, DescribedMethod>>>(typeName: string, methods: M): Described<M> {
  const files = new Map<string, DescFile>();
  for (const { input, output } of Object.values(methods)) for (const { file } of [input, output]) files.set(`${file.name}.proto`, file);
  const at = typeName.lastIndexOf(".");
  const file = create(FileDescriptorProtoSchema, {
    name: `${typeName}.proto`,
    package: typeName.slice(0, at),
    syntax: "proto3",
    dependency: [...files.keys()],
    service: [
      {
        name: typeName.slice(at + 1),
        method: Object.entries(methods).map(([localName, method]) => ({
          name: localName[0]!.toUpperCase() + localName.slice(1),
          inputType: `.${method.input.typeName}`,
          outputType: `.${method.output.typeName}`,
          serverStreaming: method.streams === true,
          options: optionsOf(method),
        })),
      },
    ],
  });
  const service = createFileRegistry(file, (name) => files.get(name)).getService(typeName);
  if (service === undefined) throw new Error(`${typeName} was not made`);
  return service as Described<M>; // the descriptor was built from `methods`, name by name
}

function optionsOf(method: DescribedMethod) {
  const options = create(MethodOptionsSchema);
  if (method.allow !== undefined)
    setExtension(options, access, create(AccessSchema, { allow: [...method.allow], callers: [...(method.callers ?? [])] }));
  if (method.rest !== undefined) setExtension(options, rest, create(RestSchema, method.rest));
  if (method.http !== undefined) setExtension(options, http, create(HttpRuleSchema, method.http));
  return options;
}
