import { create, createFileRegistry, setExtension } from "@bufbuild/protobuf";
import type { DescMessage, Message, Registry } from "@bufbuild/protobuf";
import {
  DescriptorProtoSchema,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldDescriptorProtoSchema,
  FieldOptionsSchema,
  FileDescriptorProtoSchema,
  MessageOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { event, personal } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";

/** A message with the fields `thing` (text) and `amount` (int32), the data of an event when it has a type. */
function message(name: string, type?: string, options: { readonly personalThing?: boolean; readonly part?: string } = {}) {
  const thing = create(FieldDescriptorProtoSchema, {
    name: "thing",
    jsonName: "thing",
    number: 1,
    type: FieldDescriptorProto_Type.STRING,
    label: FieldDescriptorProto_Label.OPTIONAL,
  });
  if (options.personalThing) {
    thing.options = create(FieldOptionsSchema);
    setExtension(thing.options, personal, true);
  }
  const amount = create(FieldDescriptorProtoSchema, {
    name: "amount",
    jsonName: "amount",
    number: 2,
    type: FieldDescriptorProto_Type.INT32,
    label: FieldDescriptorProto_Label.OPTIONAL,
  });
  const field = [thing, amount];
  if (options.part !== undefined)
    field.push(
      create(FieldDescriptorProtoSchema, {
        name: "parts",
        jsonName: "parts",
        number: 3,
        type: FieldDescriptorProto_Type.MESSAGE,
        typeName: `.kontor.test.v1.${options.part}`,
        label: FieldDescriptorProto_Label.REPEATED,
      }),
    );
  const proto = create(DescriptorProtoSchema, { name, field });
  if (type !== undefined) {
    proto.options = create(MessageOptionsSchema);
    setExtension(proto.options, event, type);
  }
  return proto;
}

function registryOf(...messageType: ReturnType<typeof message>[]): Registry {
  const file = create(FileDescriptorProtoSchema, {
    name: "kontor/test/v1/test.proto",
    package: "kontor.test.v1",
    syntax: "proto3",
    messageType,
  });
  return createFileRegistry(file, () => undefined);
}

function found(registry: Registry, name: string): DescMessage {
  const schema = registry.getMessage(`kontor.test.v1.${name}`);
  if (schema === undefined) throw new Error(`no message ${name}`);
  return schema;
}

/** Contracts with two events, Counted and Renamed, as a service would have them. */
export const testRegistry = registryOf(
  message("Counted", "test.thing.counted"),
  message("Renamed", "test.thing.renamed"),
  message("Plain"),
);
export const CountedSchema = found(testRegistry, "Counted");
export const RenamedSchema = found(testRegistry, "Renamed");
export const PlainSchema = found(testRegistry, "Plain");

/** Contracts whose event has a part with a personal field. */
export const leakingRegistry = registryOf(
  message("Person", undefined, { personalThing: true }),
  message("Met", "test.person.met", { part: "Person" }),
);

export interface Counted extends Message {
  readonly thing: string;
  readonly amount: number;
}

export function counted(amount: number): Counted {
  return create(CountedSchema, { amount }) as Counted;
}

export function renamed(thing: string): Message {
  return create(RenamedSchema, { thing });
}
