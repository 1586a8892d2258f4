import { getOption, hasOption, ScalarType } from "@bufbuild/protobuf";
import type { DescEnum, DescField, DescMessage } from "@bufbuild/protobuf";
import { FieldMaskSchema, isWrapperDesc } from "@bufbuild/protobuf/wkt";
import { alternatives, output_only as outputOnly, rules } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import type { Rules } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";

/** What one value of a field is, as protobuf-es holds it: the field's own, a list's item or a map's value. */
export type Element =
  | { readonly kind: "scalar"; readonly scalar: ScalarType; readonly longAsString: boolean }
  | { readonly kind: "enum"; readonly enum: DescEnum }
  | { readonly kind: "timestamp"; readonly message: DescMessage }
  | { readonly kind: "mask"; readonly message: DescMessage }
  /** google.protobuf.Struct, held as plain JSON. */
  | { readonly kind: "struct"; readonly message: DescMessage }
  /** A well-known message with a JSON form of its own that protobuf-es converts: Duration, Value, Any, a wrapper in a list. */
  | { readonly kind: "foreign"; readonly message: DescMessage }
  | { readonly kind: "message"; readonly message: DescMessage };

/** The element of a field. A wrapper (google.protobuf.StringValue) in a field of its own is the scalar that it wraps. */
export function elementOf(field: DescField): Element {
  if (field.scalar !== undefined)
    return { kind: "scalar", scalar: field.scalar, longAsString: "longAsString" in field && field.longAsString };
  if (field.enum !== undefined) return { kind: "enum", enum: field.enum };
  const message: DescMessage = field.message;
  if (isWrapperDesc(message)) {
    const wrapped = message.fields[0]?.scalar;
    if (field.fieldKind !== "message" || field.oneof !== undefined || wrapped === undefined) return { kind: "foreign", message };
    return { kind: "scalar", scalar: wrapped, longAsString: false };
  }
  switch (message.typeName) {
    case "google.protobuf.Timestamp":
      return { kind: "timestamp", message };
    case "google.protobuf.FieldMask":
      return { kind: "mask", message };
    case "google.protobuf.Struct":
      return { kind: "struct", message };
    case "google.protobuf.Duration":
    case "google.protobuf.Any":
    case "google.protobuf.Value":
    case "google.protobuf.ListValue":
      return { kind: "foreign", message };
    default:
      return { kind: "message", message };
  }
}

/** Whether the field knows "absent" beside its zero: `optional`, a message, a member of a oneof. */
export function hasPresence(field: DescField): boolean {
  // FeatureSet.FieldPresence.IMPLICIT
  return field.fieldKind !== "list" && field.fieldKind !== "map" && field.presence !== 2;
}

/** The field's rules, when it has some. */
export function rulesOf(field: DescField): Rules | undefined {
  return hasOption(field, rules) ? getOption(field, rules) : undefined;
}

/** The sets of fields of which a request has exactly one, whole; none for most. Throws for a name that is no field. */
export function alternativesOf(message: DescMessage): readonly (readonly DescField[])[] {
  if (!hasOption(message, alternatives)) return [];
  return getOption(message, alternatives).map(({ fields }) =>
    fields.map((name) => {
      const field = message.fields.find((one) => one.name === name);
      if (field === undefined) throw new Error(`${message.typeName} has no field ${name}, which its alternatives name`);
      return field;
    }),
  );
}

/** The fields that a change, which names what it changes, cannot make empty. Throws for one in a message without an update mask. */
export function keptFieldsOf(message: DescMessage): readonly DescField[] {
  const kept = message.fields.filter((field) => rulesOf(field)?.kept === true);
  if (kept.length > 0 && !message.fields.some(isUpdateMask)) throw new Error(`${message.typeName} keeps fields, and has no update mask`);
  return kept;
}

/** Whether only the server sets the field. */
export function isOutputOnly(field: DescField): boolean {
  return getOption(field, outputOnly);
}

/** Whether the field is the mask of a change: filled from what was sent, never sent itself. */
export function isUpdateMask(field: DescField): boolean {
  return field.name === "update_mask" && field.fieldKind === "message" && field.message.typeName === FieldMaskSchema.typeName;
}

export function isLong(scalar: ScalarType): boolean {
  switch (scalar) {
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return true;
    default:
      return false;
  }
}

/** The least and the greatest value of a 32-bit or 64-bit whole-number type; undefined for the others. */
export function boundsOf(scalar: ScalarType): readonly [bigint, bigint] | undefined {
  switch (scalar) {
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return [-(2n ** 31n), 2n ** 31n - 1n];
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return [0n, 2n ** 32n - 1n];
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return [-(2n ** 63n), 2n ** 63n - 1n];
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return [0n, 2n ** 64n - 1n];
    default:
      return undefined;
  }
}
