import { ScalarType } from "@bufbuild/protobuf";
import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { MoneySchema } from "@kontor/contracts/gen/kontor/api/v1/common_pb.js";
import { alternativesOf, elementOf, hasPresence, isUpdateMask, keptFieldsOf, rulesOf } from "./element.ts";
import type { Element } from "./element.ts";
import { isUnspecified } from "./read-scalar.ts";
import { fieldKeywords, itemKeywords, refusesEmpty } from "./rule-schema.ts";
import type { RuleKeywords } from "./rule-schema.ts";

/** A JSON Schema over a decoded message, with the keywords of `messageAjv`. */
export type Schema = Readonly<Record<string, unknown>>;

/** The schema of a message as protobuf-es holds it; undefined when nothing in it, at any depth, can be wrong. */
export function messageSchema(message: DescMessage): Schema | undefined {
  if (!needsCheck(message)) return undefined;
  const properties: Record<string, Schema> = {};
  const required: string[] = [];
  for (const member of message.members) {
    if (member.kind === "oneof") {
      const schema = oneofSchema(member.fields);
      if (schema !== undefined) properties[member.localName] = schema;
      continue;
    }
    if (rulesOf(member)?.required === true && hasPresence(member)) required.push(member.localName);
    const schema = fieldSchema(member);
    if (schema !== undefined) properties[member.localName] = schema;
  }
  const kept = keptFieldsOf(message);
  const alternatives = alternativesOf(message);
  return {
    $id: message.typeName,
    properties,
    ...(required.length > 0 && { required }),
    ...(kept.length > 0 && {
      kept: { mask: message.fields.find(isUpdateMask)!.localName, fields: kept.map(({ name, localName }) => [name, localName]) },
    }),
    ...(alternatives.length > 0 && { alternatives: alternatives.map((fields) => fields.map(({ localName }) => localName)) }),
    ...(message.typeName === MoneySchema.typeName && { money: true }),
  };
}

/** The messages that a message's schema refers to, itself included. */
export function messagesWithin(message: DescMessage, found: Set<DescMessage> = new Set()): ReadonlySet<DescMessage> {
  if (found.has(message)) return found;
  found.add(message);
  for (const field of message.fields) {
    const element = elementOf(field);
    if (element.kind === "message") messagesWithin(element.message, found);
  }
  return found;
}

const needs = new WeakMap<DescMessage, boolean>();

/** Whether a message has, at any depth, a field that can be wrong: one with rules, a text, an enum, a time. */
function needsCheck(message: DescMessage): boolean {
  let needed = needs.get(message);
  if (needed === undefined) {
    needed = [...messagesWithin(message)].some((within) => within.fields.some(canBeWrong));
    needs.set(message, needed);
  }
  return needed;
}

function canBeWrong(field: DescField): boolean {
  if (rulesOf(field) !== undefined) return true;
  if (field.fieldKind === "map" && field.mapKey === ScalarType.STRING) return true;
  const element = elementOf(field);
  return element.kind !== "message" && valueSchema(element, {}) !== undefined;
}

/** If-then-else along the oneof's members: each looks at the value only when it is the one that is set. */
function oneofSchema(fields: readonly DescField[]): Schema | undefined {
  let chain: Schema | undefined;
  for (const field of fields.toReversed()) {
    const value = fieldSchema(field);
    if (value !== undefined)
      chain = { if: { caseIs: field.localName }, then: { properties: { value } }, ...(chain !== undefined && { else: chain }) };
  }
  return chain;
}

function fieldSchema(field: DescField): Schema | undefined {
  const rules = rulesOf(field);
  const keywords = fieldKeywords(field, rules);
  const required = rules?.required === true;
  if (field.fieldKind === "list") {
    const { minItems, maxItems, uniqueItems } = keywords;
    const items = withRequired(valueSchema(elementOf(field), itemKeywords(field, rules)), rules?.items?.required === true);
    if (uniqueItems === true && maxItems === undefined)
      throw new Error(`${field.parent.typeName}.${field.name}: unique_items needs max_items`);
    const inner = merged({
      ...(minItems !== undefined && { minItems }),
      ...(items !== undefined && { items: { ...items, ...typeOfItems(field, uniqueItems) } }),
      ...(items === undefined && uniqueItems === true && { items: typeOfItems(field, uniqueItems) }),
      ...(uniqueItems === true && { uniqueItems }),
    });
    return withRequired(capped(inner, maxItems === undefined ? undefined : { maxItems }), required);
  }
  if (field.fieldKind === "map") {
    const { maxProperties } = keywords;
    const values = withRequired(valueSchema(elementOf(field), itemKeywords(field, rules)), rules?.items?.required === true);
    const inner = merged({
      ...(field.mapKey === ScalarType.STRING && { propertyNames: { clean: true } }),
      ...(values !== undefined && { additionalProperties: values }),
    });
    const checked = capped(inner, maxProperties === undefined ? undefined : { maxProperties });
    return required ? { if: { minProperties: 1 }, ...(checked !== undefined && { then: checked }), else: { minProperties: 1 } } : checked;
  }
  const element = elementOf(field);
  const value = valueSchema(element, keywords);
  // A number's rules hold for its zero as well: one that may be absent is `optional`.
  if (element.kind !== "enum" && !(element.kind === "scalar" && isTextual(element.scalar))) return value;
  if (required) return withRequired(value, true);
  // An empty text without presence is an absent one, to which no rule applies but what no text may hold.
  if (hasPresence(field) || !refusesEmpty(keywords)) return value;
  const { clean, ...ruled } = value ?? {};
  return { ...(clean === true && { clean }), if: { filled: true }, then: ruled };
}

/** The schema of one value; undefined when every value will do. */
function valueSchema(element: Element, keywords: RuleKeywords): Schema | undefined {
  switch (element.kind) {
    case "scalar": {
      if (element.scalar === ScalarType.STRING) return textSchema(keywords);
      const { minLength, maxLength, ...others } = keywords;
      return merged({
        ...others,
        ...(minLength !== undefined && { minBytes: minLength }),
        ...(maxLength !== undefined && { maxBytes: maxLength }),
      });
    }
    case "enum": {
      const { enum: names } = keywords;
      // What is not set breaks no rule but `required`.
      const possible = element.enum.values.filter((value) => names === undefined || names.includes(value.name) || isUnspecified(value));
      if (names !== undefined && !names.every((name) => possible.some((value) => value.name === name)))
        throw new Error(`${element.enum.typeName} has not all of ${names.join(", ")}`);
      return { enum: [...new Set(possible.map((value) => value.number))] };
    }
    case "timestamp":
      return { time: true };
    case "struct":
      return { cleanDeep: true };
    case "foreign":
      return /\.(Value|ListValue|StringValue)$/.test(element.message.typeName) ? { cleanDeep: true } : undefined;
    case "mask":
      return undefined;
    case "message":
      if (!needsCheck(element.message)) return undefined;
      return { $ref: element.message.typeName, ...(keywords.aboveZero === true && { aboveZero: true }) };
  }
}

function textSchema({ pattern, ...keywords }: RuleKeywords): Schema {
  const { maxLength } = keywords;
  return {
    clean: true,
    ...keywords,
    ...(pattern !== undefined && { matches: { pattern, ...(maxLength !== undefined && { max: maxLength }) } }),
  };
}

/** A zero or an empty value is checked first, so that a field that is missing is reported as that and nothing else. */
function withRequired(schema: Schema | undefined, required: boolean): Schema | undefined {
  if (!required) return schema;
  return { if: { filled: true }, ...(schema !== undefined && { then: schema }), else: { filled: true } };
}

/** What is inside is not looked at when there is too much of it. */
function capped(inner: Schema | undefined, limit: Schema | undefined): Schema | undefined {
  if (limit === undefined || inner === undefined) return limit ?? inner;
  return { if: limit, then: inner, else: limit };
}

function merged(schema: Schema): Schema | undefined {
  return Object.keys(schema).length > 0 ? schema : undefined;
}

/** Ajv compares items in one pass when it knows that they are scalars. */
function typeOfItems(field: DescField, unique: true | undefined): Schema {
  if (unique !== true) return {};
  if (field.scalar === ScalarType.STRING) return { type: "string" };
  return field.enum !== undefined ? { type: "number" } : {};
}

function isTextual(scalar: ScalarType): boolean {
  return scalar === ScalarType.STRING || scalar === ScalarType.BYTES;
}
