import type { DescField, DescMessage, Message } from "@bufbuild/protobuf";
import type { MethodContract } from "@kontor/platform/contract/contract.ts";
import { jsonCodec } from "@kontor/platform/contract/json.ts";

/** A method's response as HTTP, before caching and the headers that all responses have. */
export interface RestResponse {
  readonly status: number;
  /** Flat list of names and values: Content-Type, Location. */
  readonly headers: readonly string[];
  /** Absent for 204 and for redirects. */
  readonly body: string | Uint8Array | undefined;
  /** Whether it is a service's own page rather than JSON. */
  readonly page: boolean;
}

export type WriteResponse = (message: Message) => RestResponse;

type Fields = Readonly<Record<string, unknown>>;

const json: readonly string[] = ["Content-Type", "application/json"];

/** The writer of a method's responses, with everything that the contract says decided beforehand. Throws for an impossible contract. */
export function responseWriter({ method, rest }: MethodContract): WriteResponse {
  const { output } = method;
  if (rest === undefined) return jsonWriter(output, 200, "");
  if (rest.redirect !== "") return redirectWriter(output, rest.redirect);
  if (rest.rawAnswer !== "") return rawWriter(output, rest.rawAnswer, rest.status || 200);
  if (rest.outcomes.length > 0) {
    const outcomes = rest.outcomes.map(({ field, status, location }) => {
      const description = fieldOf(output, field);
      if (description.message === undefined) throw new Error(`${output.typeName}.${field} is not a message, so it cannot be an outcome`);
      return { value: getterOf(description), write: jsonWriter(description.message, status || 200, location) };
    });
    return (message) => {
      for (const outcome of outcomes) {
        const value = outcome.value(message);
        if (value !== undefined) return outcome.write(value as Message);
      }
      throw new Error(`a response of ${method.name} has none of its outcomes`);
    };
  }
  return jsonWriter(output, rest.status || 200, rest.location);
}

function jsonWriter(schema: DescMessage, status: number, location: string): WriteResponse {
  if (status === 204) return () => empty;
  const codec = jsonCodec(schema);
  if (location === "") return (message) => ({ status, headers: json, body: codec.encode(message), page: false });
  const locate = locationOf(schema, location);
  return (message) => ({ status, headers: [...json, "Location", locate(message)], body: codec.encode(message), page: false });
}

const empty: RestResponse = { status: 204, headers: [], body: undefined, page: false };

function redirectWriter(schema: DescMessage, name: string): WriteResponse {
  const target = getterOf(fieldOf(schema, name));
  return (message) => ({ status: 303, headers: ["Location", String(target(message))], body: undefined, page: false });
}

function rawWriter(schema: DescMessage, name: string, status: number): WriteResponse {
  const bytes = getterOf(fieldOf(schema, name));
  const type = getterOf(fieldOf(schema, "content_type"));
  return (message) => ({ status, headers: ["Content-Type", String(type(message))], body: bytes(message) as Uint8Array, page: true });
}

/** "/v1/orders/{id}" over the fields of a message; "{order.id}" goes deeper. */
function locationOf(schema: DescMessage, template: string): (message: Message) => string {
  const pieces = template.split(/\{([a-z0-9_.]+)\}/).map((piece, at) => {
    if (at % 2 === 0) return () => piece;
    let here: DescMessage | undefined = schema;
    const steps = piece.split(".").map((name) => {
      if (here === undefined) throw new Error(`the location ${template} leads through a field that is not a message`);
      const field = fieldOf(here, name);
      here = field.message;
      return getterOf(field);
    });
    return (message: Message) => {
      let value: unknown = message;
      for (const step of steps) value = step(value as Message);
      return encodeURIComponent(String(value));
    };
  });
  return (message) => pieces.map((piece) => piece(message)).join("");
}

function fieldOf(schema: DescMessage, name: string): DescField {
  const field = schema.fields.find((one) => one.name === name);
  if (field === undefined) throw new Error(`${schema.typeName} has no field ${name}, which the rest option names`);
  return field;
}

/** Reads a field of a message; undefined for a member of a oneof that is not the set one. */
function getterOf(field: DescField): (message: Message) => unknown {
  const { localName, oneof } = field;
  if (oneof === undefined) return (message) => (message as unknown as Fields)[localName]; // messages are plain objects
  return (message) => {
    const chosen = (message as unknown as Fields)[oneof.localName] as { case: string | undefined; value?: unknown };
    return chosen.case === localName ? chosen.value : undefined;
  };
}
