import { getOption, ScalarType } from "@bufbuild/protobuf";
import type { DescEnum, DescField, DescMessage } from "@bufbuild/protobuf";
import { personal, secret } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { boundsOf, elementOf, hasPresence, isLong, isOutputOnly, isUpdateMask, rulesOf } from "./element.ts";
import type { Element } from "./element.ts";
import { isUnspecified } from "./read-scalar.ts";
import { fieldKeywords, itemKeywords, refusesEmpty } from "./rule-schema.ts";
import type { RuleKeywords } from "./rule-schema.ts";

/** A JSON Schema (2020-12) of an OpenAPI document. */
export type ApiSchema = Readonly<Record<string, unknown>>;

export interface SchemaSources {
  /** The messages in responses, at any depth. */
  readonly inResponses: ReadonlySet<DescMessage>;
  /** The messages in requests, at any depth. */
  readonly inRequests: ReadonlySet<DescMessage>;
  /** The requests themselves, whose fields may be parameters. */
  readonly requests: readonly DescMessage[];
  readonly docs: Readonly<Record<string, string>>;
}

/** The component schemas of the messages and enums that a document speaks of. */
export interface ApiSchemas {
  /** The schema of a field as a parameter or a property. */
  ofField(field: DescField): ApiSchema;
  /** A reference to a message's component. */
  ofMessage(message: DescMessage): ApiSchema;
  /** The schema of a message without some of its fields, written out. */
  without(message: DescMessage, omitted: ReadonlySet<string>): ApiSchema;
  /** All components, sorted by name. */
  components(): Readonly<Record<string, ApiSchema>>;
}

/** Makes the components of messages: the same rules as the validator's, in JSON's names. */
export function apiSchemas({ inResponses, inRequests, requests, docs }: SchemaSources): ApiSchemas {
  const all = [...new Set([...inRequests, ...inResponses])];
  const enums = [
    ...new Set(
      [...all, ...requests].flatMap((message) => message.fields.flatMap((field) => (field.enum === undefined ? [] : [field.enum]))),
    ),
  ];
  const names = componentNames([...all, ...enums]);

  const reference = (described: DescMessage | DescEnum): ApiSchema => ({ $ref: `#/components/schemas/${names.get(described.typeName)}` });

  const ofField = (field: DescField): ApiSchema => {
    const rules = rulesOf(field);
    const keywords = fieldKeywords(field, rules);
    const notes = annotationsOf(field, docs, inResponses.has(field.parent));
    if (field.fieldKind === "list" || field.fieldKind === "map") {
      const item = filledItem(ofElement(elementOf(field), itemKeywords(field, rules)), rules?.items?.required === true);
      const required = rules?.required === true;
      if (field.fieldKind === "map")
        return { type: "object", additionalProperties: item, ...(required && { minProperties: 1 }), ...keywords, ...notes };
      return { type: "array", items: item, ...(required && { minItems: 1 }), ...keywords, ...notes };
    }
    const element = elementOf(field);
    const schema = ofElement(element, keywords);
    if (rules?.required === true && element.kind === "scalar") return { ...filledItem(schema, true), ...notes };
    // Responses have empty texts too, which a request would leave out.
    const empty = element.kind === "scalar" && !hasPresence(field) && inResponses.has(field.parent) && refusesEmpty(keywords);
    return { ...(empty ? { anyOf: [{ const: "" }, schema] } : schema), ...notes };
  };

  const ofElement = (element: Element, keywords: RuleKeywords): ApiSchema => {
    switch (element.kind) {
      case "scalar":
        return { ...scalarSchema(element.scalar), ...scalarKeywords(element.scalar, keywords) };
      case "enum":
        return reference(element.enum);
      case "message":
        return reference(element.message);
      default:
        return foreign(element.message);
    }
  };

  const object = (message: DescMessage, omitted: ReadonlySet<string>): ApiSchema => {
    const fields = message.fields.filter((field) => !omitted.has(field.name) && !isUpdateMask(field));
    const required = fields
      .filter((field) => rulesOf(field)?.required === true && field.oneof === undefined)
      .map((field) => field.jsonName);
    const oneofs = message.oneofs.filter((oneof) => oneof.fields.length > 1);
    const description = docs[message.typeName];
    return {
      type: "object",
      ...(description !== undefined && { description }),
      properties: Object.fromEntries(fields.map((field) => [field.jsonName, ofField(field)])),
      ...(required.length > 0 && { required }),
      additionalProperties: false,
      ...(oneofs.length > 0 && { allOf: oneofs.map((oneof) => atMostOne(oneof.fields)) }),
    };
  };

  return {
    ofField,
    ofMessage: reference,
    without: object,
    components: () => {
      const named = [
        ...all.map((message) => [names.get(message.typeName), object(message, new Set())] as const),
        ...enums.map((described) => [names.get(described.typeName), enumSchema(described, docs)] as const),
      ];
      return Object.fromEntries(named.toSorted(([a = ""], [b = ""]) => (a < b ? -1 : 1)));
    },
  };
}

/** What a schema says of a field beside its values. */
function annotationsOf(field: DescField, docs: SchemaSources["docs"], inResponse: boolean): ApiSchema {
  const description = docs[`${field.parent.typeName}.${field.name}`];
  return {
    ...(description !== undefined && { description }),
    ...(isOutputOnly(field) && { readOnly: true }),
    ...(getOption(field, personal) && { "x-personal": true }),
    ...(getOption(field, secret) && (inResponse ? { "x-secret": true } : { writeOnly: true })),
    ...(field.deprecated && { deprecated: true }),
  };
}

function enumSchema(described: DescEnum, docs: SchemaSources["docs"]): ApiSchema {
  const values = described.values.filter((value) => !isUnspecified(value));
  const notes = values.flatMap((value) => {
    const doc = docs[`${described.typeName}.${value.name}`];
    return doc === undefined ? [] : [`- \`${value.jsonName}\`: ${doc}`];
  });
  const description = [docs[described.typeName], notes.join("\n")].filter((text) => text !== undefined && text !== "").join("\n\n");
  return { type: "string", ...(description !== "" && { description }), enum: values.map((value) => value.jsonName) };
}

/** "Money"; where two packages use one name, "catalog.Option" and "carts.Option". */
function componentNames(described: readonly (DescMessage | DescEnum)[]): ReadonlyMap<string, string> {
  const short = (type: DescMessage | DescEnum): string => type.typeName.slice(type.file.proto.package.length + 1);
  const counts = new Map<string, number>();
  for (const type of described) counts.set(short(type), (counts.get(short(type)) ?? 0) + 1);
  return new Map(
    described.map((type) => {
      const area = type.file.proto.package.replace(/^kontor\./, "").replace(/\.v[0-9]+$/, "");
      return [type.typeName, (counts.get(short(type)) ?? 0) > 1 || short(type) === "Problem" ? `${area}.${short(type)}` : short(type)];
    }),
  );
}

function atMostOne(fields: readonly DescField[]): ApiSchema {
  const one = fields.map((field) => ({ required: [field.jsonName] }));
  return { oneOf: [...one, { not: { anyOf: one } }] };
}

/** An item or a field that must not be empty. */
function filledItem(schema: ApiSchema, required: boolean): ApiSchema {
  return required && schema["type"] === "string" && schema["minLength"] === undefined ? { ...schema, minLength: 1 } : schema;
}

/** The rules of bytes count bytes, JSON Schema the characters of their base64. */
function scalarKeywords(scalar: ScalarType, keywords: RuleKeywords): RuleKeywords {
  if (scalar !== ScalarType.BYTES) return keywords;
  const { minLength, maxLength, ...others } = keywords;
  return {
    ...others,
    ...(minLength !== undefined && { minLength: Math.ceil((minLength * 4) / 3) }),
    ...(maxLength !== undefined && { maxLength: Math.ceil(maxLength / 3) * 4 }),
  };
}

function scalarSchema(scalar: ScalarType): ApiSchema {
  if (scalar === ScalarType.STRING) return { type: "string" };
  if (scalar === ScalarType.BOOL) return { type: "boolean" };
  if (scalar === ScalarType.BYTES) return { type: "string", contentEncoding: "base64" };
  if (scalar === ScalarType.DOUBLE) return { type: "number", format: "double" };
  if (scalar === ScalarType.FLOAT) return { type: "number", format: "float" };
  if (isLong(scalar)) return { type: "string", pattern: "^-?[0-9]+$" };
  const [least, greatest] = boundsOf(scalar) ?? [0n, 0n];
  return least < 0n ? { type: "integer", format: "int32" } : { type: "integer", minimum: 0, maximum: Number(greatest) };
}

function foreign(message: DescMessage): ApiSchema {
  switch (message.typeName) {
    case "google.protobuf.Timestamp":
      return { type: "string", format: "date-time" };
    case "google.protobuf.Duration":
      return { type: "string", pattern: "^-?[0-9]+(\\.[0-9]+)?s$" };
    case "google.protobuf.FieldMask":
      return { type: "string" };
    case "google.protobuf.Struct":
      return { type: "object" };
    case "google.protobuf.ListValue":
      return { type: "array" };
    case "google.protobuf.Value":
      return {};
    case "google.protobuf.Any":
      return { type: "object", required: ["@type"] };
    default: {
      const wrapped = message.fields[0]?.scalar;
      if (wrapped === undefined) throw new Error(`${message.typeName} has no form in OpenAPI`);
      return scalarSchema(wrapped);
    }
  }
}
