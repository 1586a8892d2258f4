import { fromBinary, getOption, hasOption, toBinary } from "@bufbuild/protobuf";
import type { DescField, DescMessage, Message, Registry } from "@bufbuild/protobuf";
import { event, personal, secret } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { eventTypeOf } from "../contract/contract.ts";

/** The event types of a set of contracts, and how their data is written and read. */
export interface EventSchemas {
  /** Throws for a message that is not an event of these contracts. */
  typeOf(message: Message): string;
  /** Throws as `typeOf` does. */
  encode(message: Message): { readonly type: string; readonly data: Uint8Array };
  /** Throws for a type that these contracts do not have, and for bytes that are no such message. */
  decode(type: string, data: Uint8Array): Message;
}

/** Reads the event options of all messages once. Throws when two messages claim the same type. */
export function eventSchemas(messages: Iterable<DescMessage>): EventSchemas {
  const schemas = new Map<string, DescMessage>();
  const types = new Map<string, { readonly schema: DescMessage; readonly type: string }>();
  for (const schema of messages) {
    const type = eventTypeOf(schema);
    const other = schemas.get(type);
    if (other !== undefined && other.typeName !== schema.typeName)
      throw new Error(`${other.typeName} and ${schema.typeName} are both ${type}`);
    schemas.set(type, schema);
    types.set(schema.typeName, { schema, type });
  }
  const find = ({ $typeName: name }: Message) => {
    const known = types.get(name);
    if (known === undefined) throw new Error(`${name} is no event of the registered contracts`);
    return known;
  };
  return {
    typeOf: (message) => find(message).type,
    encode(message) {
      const { schema, type } = find(message);
      return { type, data: toBinary(schema, message) };
    },
    decode(type, data) {
      const schema = schemas.get(type);
      if (schema === undefined) throw new Error(`no registered contract has the event ${type}`);
      return fromBinary(schema, data);
    },
  };
}

/** The messages of a registry that are the data of an event. */
export function eventMessages(registry: Registry): DescMessage[] {
  const messages: DescMessage[] = [];
  for (const type of registry) if (type.kind === "message" && hasOption(type, event)) messages.push(type);
  return messages;
}

/** Throws, naming the fields, when an event can carry what is marked `personal` or `secret`, at any depth. */
export function assertNoPersonalFields(registry: Registry): void {
  const found: string[] = [];
  const visit = (message: DescMessage, path: string, within: readonly DescMessage[]): void => {
    if (within.includes(message)) return;
    for (const field of message.fields) {
      const here = `${path}.${field.name}`;
      if (isMarked(field, personal) || isMarked(field, secret)) found.push(here);
      if (field.message !== undefined) visit(field.message, here, [...within, message]);
    }
  };
  for (const message of eventMessages(registry)) visit(message, message.typeName, []);
  if (found.length > 0) throw new Error(`events must not carry personal data: ${found.join(", ")}`);
}

function isMarked(field: DescField, option: typeof personal): boolean {
  return hasOption(field, option) && getOption(field, option);
}
