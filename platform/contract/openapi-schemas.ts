import { getOption, ScalarType } from "@bufbuild/protobuf";
import type { DescEnum, DescField, DescMessage } from "@bufbuild/protobuf";
import { MoneySchema } from "@kontor/contracts/gen/kontor/api/v1/common_pb.js";
import { personal, secret } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { alternativesOf, boundsOf, elementOf, hasPresence, isLong, isOutputOnly, isUpdateMask, keptFieldsOf, rulesOf } from "./element.ts";
import type { Element } from "./element.ts";
import { cleanPattern, formats } from "./formats.ts";
import { itemsMaxDefault } from "./json-decode.ts";
import { aboveZeroName, moneyComponents, requestedMoneyName } from "./openapi-money.ts";
import type { ApiSchema } from "./openapi-money.ts";
import { isUnspecified } from "./read-scalar.ts";
import { fieldKeywords, isRequired, itemKeywords, refusesEmpty } from "./rule-schema.ts";
import type { RuleKeywords } from "./rule-schema.ts";

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
    const inRequest = inRequests.has(field.parent) || requests.includes(field.parent);
    const required = rules?.required === true || rules?.kept === true;
    if (field.fieldKind === "list" || field.fieldKind === "map") {
      const item = filledItem(ofElement(elementOf(field), itemKeywords(field, rules), inRequest), rules?.items?.required === true);
      if (field.fieldKind === "map")
        return { type: "object", additionalProperties: item, ...(required && { minProperties: 1 }), ...keywords, ...notes };
      const most = inRequest && !inResponses.has(field.parent) && { maxItems: itemsMaxDefault };
      return { type: "array", items: item, ...(required && { minItems: 1 }), ...most, ...keywords, ...notes };
    }
    const element = elementOf(field);
    const schema = ofElement(element, keywords, inRequest);
    if (required && element.kind === "scalar") return { ...filledItem(schema, true), ...notes };
    // A text that knows no absence may be empty, which means the same.
    const empty = element.kind === "scalar" && !hasPresence(field) && refusesEmpty(keywords);
    return { ...(empty ? { anyOf: [{ const: "" }, schema] } : schema), ...notes };
  };

  const ofElement = (element: Element, keywords: RuleKeywords, inRequest: boolean): ApiSchema => {
    switch (element.kind) {
      case "scalar":
        return element.scalar === ScalarType.STRING
          ? textSchema(keywords)
          : { ...scalarSchema(element.scalar), ...scalarKeywords(element.scalar, keywords) };
      case "enum":
        return keywords.enum === undefined ? reference(element.enum) : { type: "string", enum: keywords.enum };
      case "message":
        if (inRequest && element.message.typeName === MoneySchema.typeName)
          return { $ref: `#/components/schemas/${keywords.aboveZero === true ? aboveZeroName : requestedMoneyName}` };
        return reference(element.message);
      default:
        return foreign(element.message);
    }
  };

  const object = (message: DescMessage, omitted: ReadonlySet<string>): ApiSchema => {
    const fields = message.fields.filter((field) => !omitted.has(field.name) && !isUpdateMask(field));
    keptFieldsOf(message);
    const required = fields.filter(isRequired).map((field) => field.jsonName);
    const alternatives = alternativesOf(message);
    const oneofs = message.oneofs.filter((oneof) => oneof.fields.length > 1);
    const description = docs[message.typeName];
    return {
      type: "object",
      ...(description !== undefined && { description }),
      properties: Object.fromEntries(fields.map((field) => [field.jsonName, ofField(field)])),
      ...(required.length > 0 && { required }),
      additionalProperties: false,
      ...(oneofs.length > 0 && { allOf: oneofs.map((oneof) => atMostOne(oneof.fields)) }),
      ...(alternatives.length > 0 && { oneOf: alternatives.map((fields) => wholly(fields, alternatives.flat())) }),
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
        ...moneyComponents(),
      ];
      return Object.fromEntries(named.toSorted(([a = ""], [b = ""]) => (a < b ? -1 : 1)));
    },
  };
}

/** Exactly these fields of the alternatives: each is there, and the others are absent or empty. */
function wholly(fields: readonly DescField[], all: readonly DescField[]): ApiSchema {
  const filled = (field: DescField): ApiSchema => {
    if (field.fieldKind === "list") return { minItems: 1 };
    return field.scalar === ScalarType.STRING ? { minLength: 1 } : {};
  };
  const emptied = (field: DescField): ApiSchema | boolean => {
    if (field.fieldKind === "list") return { maxItems: 0 };
    return field.scalar === ScalarType.STRING ? { maxLength: 0 } : false;
  };
  return {
    required: fields.map(({ jsonName }) => jsonName),
    properties: Object.fromEntries(all.map((field) => [field.jsonName, fields.includes(field) ? filled(field) : emptied(field)])),
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

/** A text: every one says by a pattern, a list of values or a format what it cannot hold. */
function textSchema({ format, ...keywords }: RuleKeywords): ApiSchema {
  const said = format === undefined ? {} : formats[format]!.schema;
  if ("$ref" in said) return said;
  const free = keywords.enum === undefined && keywords.pattern === undefined && Object.keys(said).length === 0;
  return { type: "string", ...keywords, ...said, ...(free && { pattern: cleanPattern }) };
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
  return { type: "integer", ...(least < 0n && { format: "int32" }), minimum: Number(least), maximum: Number(greatest) };
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
