import { ScalarType } from "@bufbuild/protobuf";
import type { DescField } from "@bufbuild/protobuf";
import { MoneySchema } from "@kontor/contracts/gen/kontor/api/v1/common_pb.js";
import type { Rules } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { elementOf, hasPresence, isLong, rulesOf } from "./element.ts";
import type { Element } from "./element.ts";
import { formats } from "./formats.ts";

/** Rules in JSON Schema's keywords, for one value. `required` and the items' rules are not among them. */
export interface RuleKeywords {
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  format?: string;
  enum?: readonly string[];
  minimum?: number;
  maximum?: number;
  minItems?: number;
  maxItems?: number;
  uniqueItems?: true;
  maxProperties?: number;
  aboveZero?: true;
}

type RuledKind = "text" | "bytes" | "number" | "enum" | "money" | "list" | "map" | "other";

const allowed: Readonly<Record<RuledKind, readonly (keyof RuleKeywords)[]>> = {
  text: ["minLength", "maxLength", "pattern", "format", "enum"],
  bytes: ["minLength", "maxLength"],
  number: ["minimum", "maximum"],
  enum: ["enum"],
  money: ["aboveZero"],
  list: ["minItems", "maxItems", "uniqueItems"],
  map: ["maxProperties"],
  other: [],
};

/** The keywords of a field's rules: of the list or map itself when it is one. Throws for a rule that its kind of field cannot have. */
export function fieldKeywords(field: DescField, rules: Rules | undefined): RuleKeywords {
  const kind = field.fieldKind === "list" ? "list" : field.fieldKind === "map" ? "map" : kindOf(elementOf(field));
  if (rules?.items !== undefined && kind !== "list" && kind !== "map")
    throw new Error(`${field.parent.typeName}.${field.name}: only lists and maps have items`);
  return keywordsOf(kind, rules, `${field.parent.typeName}.${field.name}`);
}

/** The keywords of the rules of a list's items, or of a map's values. */
export function itemKeywords(field: DescField, rules: Rules | undefined): RuleKeywords {
  return keywordsOf(kindOf(elementOf(field)), rules?.items, `the items of ${field.parent.typeName}.${field.name}`);
}

function kindOf(element: Element): RuledKind {
  if (element.kind === "enum") return "enum";
  if (element.kind === "message" && element.message.typeName === MoneySchema.typeName) return "money";
  if (element.kind !== "scalar") return "other";
  if (element.scalar === ScalarType.STRING) return "text";
  if (element.scalar === ScalarType.BYTES) return "bytes";
  return element.scalar === ScalarType.BOOL || isLong(element.scalar) ? "other" : "number";
}

function keywordsOf(kind: RuledKind, rules: Rules | undefined, where: string): RuleKeywords {
  if (rules === undefined) return {};
  const keywords: RuleKeywords = {
    ...(rules.minLength !== undefined && { minLength: rules.minLength }),
    ...(rules.maxLength !== undefined && { maxLength: rules.maxLength }),
    ...(rules.pattern !== "" && { pattern: rules.pattern }),
    ...(rules.format !== "" && { format: rules.format }),
    ...(rules.oneOf.length > 0 && { enum: rules.oneOf }),
    ...(rules.minimum !== undefined && { minimum: rules.minimum }),
    ...(rules.maximum !== undefined && { maximum: rules.maximum }),
    ...(rules.minItems !== undefined && { minItems: rules.minItems }),
    ...(rules.maxItems !== undefined && { maxItems: rules.maxItems }),
    ...(rules.uniqueItems && { uniqueItems: true as const }),
    ...(rules.maxProperties !== undefined && { maxProperties: rules.maxProperties }),
    ...(rules.aboveZero && { aboveZero: true as const }),
  };
  for (const keyword of Object.keys(keywords) as (keyof RuleKeywords)[])
    if (!allowed[kind].includes(keyword)) throw new Error(`${where}: the rule ${keyword} does not belong to this kind of field`);
  if (keywords.format !== undefined && formats[keywords.format] === undefined)
    throw new Error(`${where}: there is no format ${keywords.format}`);
  if (keywords.pattern !== undefined) checkPattern(keywords.pattern, where);
  return keywords;
}

/** Refuses what a pattern does not need and what makes one slow: references back, looking around, matching a part only. */
function checkPattern(pattern: string, where: string): void {
  if (/\\[1-9k]|\(\?[=!<]/.test(pattern)) throw new Error(`${where}: a pattern must not look around or back: ${pattern}`);
  if (!pattern.startsWith("^") || !pattern.endsWith("$"))
    throw new Error(`${where}: a pattern must match the whole text, from ^ to $: ${pattern}`);
  const expression = new RegExp(pattern, "u");
  if (["\0", "a\0", "\0a", "a\0a"].some((text) => expression.test(text)))
    throw new Error(`${where}: a pattern must not match NUL: ${pattern}`);
}

/**
 * Whether a request is refused without the field: because the rules say so, or because it knows no absence and they refuse its zero or the
 * empty list.
 */
export function isRequired(field: DescField): boolean {
  const rules = rulesOf(field);
  if (field.oneof !== undefined) return false;
  if (rules?.required === true || (rules?.minItems ?? 0) > 0) return true;
  if (field.fieldKind !== "scalar" || hasPresence(field) || kindOf(elementOf(field)) !== "number") return false;
  return (rules?.minimum ?? 0) > 0 || (rules?.maximum ?? 0) < 0;
}

/** Whether the rules refuse an empty text, so that an absent one must be distinguished. */
export function refusesEmpty(keywords: RuleKeywords): boolean {
  if ((keywords.minLength ?? 0) > 0 || keywords.pattern !== undefined || keywords.format !== undefined) return true;
  return keywords.enum !== undefined && !keywords.enum.includes("");
}
