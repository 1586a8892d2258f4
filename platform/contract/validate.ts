import type { DescEnum, DescMessage, Message } from "@bufbuild/protobuf";
import type { Ajv, ErrorObject } from "ajv";
import type { FieldError } from "../errors/refusal.ts";
import { elementOf } from "./element.ts";
import { formats } from "./formats.ts";
import { messageAjv } from "./keywords.ts";
import { messageSchema, messagesWithin } from "./message-schema.ts";
import { invalidRequest, pathText, problemsMax } from "./problems.ts";
import type { Step } from "./problems.ts";
import { enumNames } from "./read-scalar.ts";

/** Throws INVALID_REQUEST, with each wrong field's JSON path, when a decoded message breaks its rules. */
export type Validate = (message: Message) => void;

const validators = new WeakMap<DescMessage, Validate>();
let ajv: Ajv | undefined;

/**
 * The validator of a message's rules, compiled once, for the message as protobuf-es holds it. Rules do not apply to a text
 * that is absent; NUL in a text, unknown enum numbers and impossible times are refused with or without rules. Throws when
 * a rule does not fit its field.
 */
export function validatorOf(schema: DescMessage): Validate {
  let validate = validators.get(schema);
  if (validate === undefined) validators.set(schema, (validate = compile(schema)));
  return validate;
}

function compile(schema: DescMessage): Validate {
  const engine = (ajv ??= messageAjv());
  for (const message of messagesWithin(schema)) {
    if (engine.schemas[message.typeName] !== undefined) continue;
    const json = messageSchema(message);
    if (json !== undefined) engine.addSchema(json);
  }
  const valid = engine.getSchema(schema.typeName);
  if (valid === undefined) return () => undefined;
  return (message) => {
    if (valid(message) === true) return;
    const fields: FieldError[] = [];
    for (const error of valid.errors ?? []) {
      // "if" says again what its branch has said; of broken keys each has its own error beside the list's.
      if (error.keyword === "if" || error.keyword === "propertyNames") continue;
      if (fields.push(fieldError(schema, message, error)) >= problemsMax) break;
    }
    throw invalidRequest(fields);
  };
}

function fieldError(schema: DescMessage, message: Message, error: ErrorObject): FieldError {
  const { steps, values } = jsonPath(schema, message, error.instancePath);
  const params = error.params as {
    readonly limit?: number;
    readonly missingProperty?: string;
    readonly reason?: string;
    readonly message?: string;
    readonly property?: string;
    readonly besides?: readonly string[];
  };
  if (error.keyword === "required" && params.missingProperty !== undefined) {
    const missing = jsonPath(schema, message, `${error.instancePath}/${params.missingProperty}`);
    return { field: pathText(missing.steps), reason: "REQUIRED", message: "is required" };
  }
  if (error.keyword === "money")
    return {
      field: pathText([...steps, "amount"]),
      reason: params.reason === "TOO_SMALL" || params.reason === "TOO_LARGE" ? params.reason : "FORMAT",
      message: params.message ?? "is not an amount of money",
    };
  if (error.keyword === "alternatives" && params.property !== undefined) {
    const extra = jsonPath(schema, message, `${error.instancePath}/${params.property}`);
    return {
      field: pathText(extra.steps),
      reason: "NOT_TOGETHER",
      message: `must be absent when ${params.besides?.join(" and ")} is given`,
    };
  }
  if (error.propertyName !== undefined) steps.push(error.propertyName);
  return { field: pathText(steps), ...reasonOf(error, params.limit, values) };
}

function reasonOf(
  error: ErrorObject,
  limit: number | undefined,
  values: DescEnum | undefined,
): { readonly reason: string; readonly message: string } {
  switch (error.keyword) {
    case "filled":
    case "minProperties":
      return { reason: "REQUIRED", message: "is required" };
    case "minLength":
      return { reason: "TOO_SHORT", message: `must have at least ${count(limit, "character")}` };
    case "minBytes":
      return { reason: "TOO_SHORT", message: `must have at least ${count(limit, "byte")}` };
    case "maxLength":
      return { reason: "TOO_LONG", message: `must have at most ${count(limit, "character")}` };
    case "maxBytes":
      return { reason: "TOO_LONG", message: `must have at most ${count(limit, "byte")}` };
    case "clean":
    case "cleanDeep":
      return { reason: "PATTERN", message: "must not contain NUL or broken characters" };
    case "matches":
      return { reason: "PATTERN", message: (error.params as { readonly message: string }).message };
    case "format":
      return {
        reason: "FORMAT",
        message: formats[(error.params as { readonly format: string }).format]?.message ?? "does not have the right format",
      };
    case "time":
      return { reason: "FORMAT", message: "must be a time between the years 1 and 9999" };
    case "minimum":
      return { reason: "TOO_SMALL", message: `must be at least ${limit}` };
    case "maximum":
      return { reason: "TOO_LARGE", message: `must be at most ${limit}` };
    case "minItems":
      return { reason: "TOO_FEW", message: `must have at least ${count(limit, "item")}` };
    case "maxItems":
      return { reason: "TOO_MANY", message: `must have at most ${count(limit, "item")}` };
    case "maxProperties":
      return { reason: "TOO_MANY", message: `must have at most ${limit} entries` };
    case "uniqueItems":
      return { reason: "NOT_UNIQUE", message: "must not have the same item twice" };
    case "enum":
      return {
        reason: "NOT_ONE_OF",
        message: `must be one of ${values === undefined ? (error.params as { readonly allowedValues: readonly unknown[] }).allowedValues.join(", ") : enumNames(values)}`,
      };
    default:
      return { reason: "WRONG_TYPE", message: "has the wrong type" };
  }
}

function count(limit: number | undefined, what: string): string {
  return `${limit} ${what}${limit === 1 ? "" : "s"}`;
}

/** The JSON names along a path of properties as protobuf-es calls them, and the enum at its end. */
function jsonPath(
  schema: DescMessage,
  message: Message,
  pointer: string,
): { readonly steps: Step[]; readonly values: DescEnum | undefined } {
  const segments = pointer
    .split("/")
    .slice(1)
    .map((segment) => segment.replaceAll("~1", "/").replaceAll("~0", "~"));
  const steps: Step[] = [];
  let at: DescMessage | undefined = schema;
  let value: unknown = message;
  let values: DescEnum | undefined;
  for (let index = 0; index < segments.length && at !== undefined; index++) {
    let segment = segments[index] ?? "";
    const oneof = at.oneofs.find((candidate) => candidate.localName === segment);
    value = property(value, segment);
    if (oneof !== undefined) {
      // A oneof is followed by the member's name in `case`, and its value.
      segment = String(property(value, "case"));
      value = property(value, "value");
      index++;
    }
    const field = at.field[segment];
    if (field === undefined) break;
    steps.push(field.jsonName);
    if (field.fieldKind === "list" || field.fieldKind === "map") {
      const key = segments[++index];
      if (key === undefined) break;
      steps.push(field.fieldKind === "list" ? Number(key) : key);
      value = property(value, key);
    }
    values = field.enum;
    const element = elementOf(field);
    at = element.kind === "message" ? element.message : undefined;
  }
  return { steps, values };
}

function property(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
