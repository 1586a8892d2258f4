import assert from "node:assert/strict";
import { create, createFileRegistry, setExtension } from "@bufbuild/protobuf";
import type { DescFile, DescService, MessageInitShape } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, MethodOptionsSchema } from "@bufbuild/protobuf/wkt";
import { http } from "@kontor/contracts/gen/google/api/annotations_pb.js";
import { HttpRuleSchema } from "@kontor/contracts/gen/google/api/http_pb.js";
import { AccessSchema, RestSchema, access, rest } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import type { Allow } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { file_kontor_testing_v1_testing } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";

/** A method of a service that exists in a test only: its messages are those of kontor.testing.v1. */
export interface MethodInit {
  readonly input: string;
  readonly output: string;
  readonly http: MessageInitShape<typeof HttpRuleSchema>;
  readonly allow: readonly Allow[];
  readonly rest?: MessageInitShape<typeof RestSchema>;
}

/** A service that exists in a test only, so that nothing can route it. */
export function serviceOf(methods: Readonly<Record<string, MethodInit>>): DescService {
  const file = create(FileDescriptorProtoSchema, {
    name: "kontor/testing/v1/things.proto",
    package: "kontor.testing.v1",
    syntax: "proto3",
    dependency: ["kontor/testing/v1/testing.proto"],
    service: [
      {
        name: "ThingsService",
        method: Object.entries(methods).map(([name, method]) => {
          const options = create(MethodOptionsSchema);
          setExtension(options, http, create(HttpRuleSchema, method.http));
          setExtension(options, access, create(AccessSchema, { allow: [...method.allow] }));
          if (method.rest !== undefined) setExtension(options, rest, create(RestSchema, method.rest));
          return { name, inputType: `.kontor.testing.v1.${method.input}`, outputType: `.kontor.testing.v1.${method.output}`, options };
        }),
      },
    ],
  });
  const known = (name: string, among: readonly DescFile[] = [file_kontor_testing_v1_testing]): DescFile | undefined => {
    for (const one of among) {
      const found = `${one.name}.proto` === name ? one : known(name, one.dependencies);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  const service = createFileRegistry(file, (name) => known(name)).getService("kontor.testing.v1.ThingsService");
  assert.ok(service);
  return service;
}
