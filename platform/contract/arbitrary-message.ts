import { create, ScalarType } from "@bufbuild/protobuf";
import type { DescField, DescMessage, MessageShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { boundsOf, elementOf, hasPresence, isLong } from "./element.ts";
import { secondsMax, secondsMin } from "./timestamp.ts";

/** For tests: any message of the schema, with every kind of field, at most so many messages deep. Texts may hold NUL. */
export function anyMessage<D extends DescMessage>(schema: D, depth = 3): fc.Arbitrary<MessageShape<D>> {
  const members: Record<string, fc.Arbitrary<unknown>> = {};
  for (const member of schema.members) {
    if (member.kind === "oneof") {
      const cases = member.fields.flatMap((field) => {
        const value = anyElement(field, depth);
        return value === undefined ? [] : [value.map((one) => ({ case: field.localName, value: one }))];
      });
      members[member.localName] = fc.oneof(fc.constant({ case: undefined }), ...cases);
      continue;
    }
    const value = anyElement(member, depth);
    if (value === undefined) continue;
    if (member.fieldKind === "list") members[member.localName] = fc.array(value, { maxLength: 3 });
    else if (member.fieldKind === "map")
      members[member.localName] = fc.dictionary(anyKey(member.mapKey), value, { maxKeys: 3, noNullPrototype: true });
    else members[member.localName] = hasPresence(member) ? fc.option(value, { nil: undefined }) : value;
  }
  return fc.record(members).map((init) => create(schema, init as never));
}

const anyText = fc.string({ unit: "binary", maxLength: 60 });
const anyJson = fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.parse(JSON.stringify(value).replaceAll("__proto__", "proto")) as unknown);

function anyElement(field: DescField, depth: number): fc.Arbitrary<unknown> | undefined {
  const element = elementOf(field);
  switch (element.kind) {
    case "scalar":
      return anyScalar(element.scalar, element.longAsString);
    case "enum":
      return fc.constantFrom(...element.enum.values.map((value) => value.number));
    case "timestamp":
      return fc
        .record({ seconds: fc.bigInt({ min: BigInt(secondsMin), max: BigInt(secondsMax) }), nanos: anyNanos })
        .map(({ seconds, nanos }) => ({ ...timestampFromMs(0), seconds, nanos }));
    case "mask":
      return fc
        .array(fc.stringMatching(/^[a-z]{1,5}(_[a-z]{1,5}){0,2}$/), { maxLength: 3 })
        .map((paths) => create(element.message, { paths }));
    case "struct":
      return fc.dictionary(
        fc.string().filter((key) => key !== "__proto__"),
        anyJson,
        { maxKeys: 3, noNullPrototype: true },
      );
    case "foreign":
      return anyForeign(element.message, depth);
    case "message":
      return depth === 0 ? undefined : anyMessage(element.message, depth - 1);
  }
}

const anyNanos = fc.oneof(
  fc.constant(0),
  fc.nat(999).map((ms) => ms * 1_000_000),
  fc.nat(999_999_999),
);

function anyForeign(message: DescMessage, depth: number): fc.Arbitrary<unknown> | undefined {
  switch (message.typeName) {
    case "google.protobuf.Duration":
      return fc.record({ seconds: fc.bigInt({ min: 0n, max: 10n ** 9n }), nanos: anyNanos }).map((init) => create(message, init as never));
    case "google.protobuf.Value":
      return fc
        .oneof(
          anyText.map((value) => ({ case: "stringValue", value })),
          fc.boolean().map((value) => ({ case: "boolValue", value })),
          fc.constant({ case: "nullValue", value: 0 }),
        )
        .map((kind) => create(message, { kind }));
    default:
      return anyMessage(message, depth);
  }
}

function anyScalar(scalar: ScalarType, longAsString: boolean): fc.Arbitrary<unknown> {
  // JSON has no -0, and NaN equals nothing.
  const real = { noNaN: true };
  switch (scalar) {
    case ScalarType.STRING:
      return anyText;
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 10 });
    case ScalarType.DOUBLE:
      return fc.double(real).map((value) => (value === 0 ? 0 : value));
    case ScalarType.FLOAT:
      return fc.float(real).map((value) => (value === 0 ? 0 : value));
    default: {
      const [min, max] = boundsOf(scalar) ?? [0n, 0n];
      if (!isLong(scalar)) return fc.integer({ min: Number(min), max: Number(max) });
      return fc.bigInt({ min, max }).map((value) => (longAsString ? value.toString() : value));
    }
  }
}

function anyKey(scalar: ScalarType): fc.Arbitrary<string> {
  if (scalar === ScalarType.STRING) return anyText.filter((key) => key !== "__proto__");
  return anyScalar(scalar, true).map(String);
}
