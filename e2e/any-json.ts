import fc from "fast-check";
import type { OpenApiDocument } from "./answer-check.ts";

interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly const?: unknown;
  readonly format?: string;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly readOnly?: boolean;
  readonly additionalProperties?: Schema | boolean;
}

/** What has gone wrong with texts elsewhere. */
const evil = [
  "' or 1=1 --",
  "'; drop table accounts; --",
  '" or ""="',
  "\\'; select pg_sleep(10); --",
  "$1",
  "%' and '1'='1",
  "{{7*7}}",
  "<script>alert(1)</script>",
  "../../etc/passwd",
  "a\r\nX-Injected: yes",
  "\u0000",
  "a\u0000b",
  "\ud800",
  "\u202e",
  "e\u0301".repeat(20),
  "(a+)+$",
  "a".repeat(300),
  "İ",
  "null",
  "undefined",
  "__proto__",
  "-0",
  "1e999",
  "NaN",
  " ",
  "",
] as const;

/** Makes values for schemas of the document: mostly such as it allows, with real ids among the texts, and some that it does not. */
export function anyJson(document: OpenApiDocument, real: readonly string[]): (schema: object) => fc.Arbitrary<unknown> {
  const junk = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom<unknown>(...evil),
    fc.constantFrom(-1, 0, 1.5, 2 ** 31, 2 ** 53, 1e308),
    fc.constant(null),
  );
  const anyText: fc.Arbitrary<string> = fc.oneof(
    { arbitrary: fc.constantFrom(...real), weight: 4 },
    { arbitrary: fc.constantFrom<string>(...evil), weight: 2 },
    { arbitrary: fc.string({ maxLength: 30 }), weight: 1 },
    { arbitrary: fc.string({ unit: "binary", maxLength: 30 }), weight: 1 },
  );
  const ofFormat: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
    email: fc.oneof(fc.emailAddress(), anyText),
    uri: fc.oneof(fc.webUrl({ withQueryParameters: true, withFragments: true }), anyText),
    uuid: fc.uuid(),
    currency: fc.constantFrom("EUR", "USD", "JPY", "KWD", "eur", "XXX"),
    decimal: fc.oneof(
      fc.constantFrom("0.00", "19.99", "-1.00", "0.001", "1e3", "99999999999999999999", "00.10"),
      fc.nat(10 ** 9).map((minor) => (minor / 100).toFixed(2)),
    ),
    "date-time": fc.oneof(
      fc.date({ noInvalidDate: true, min: new Date(0), max: new Date("2200-01-01") }).map((date) => date.toISOString()),
      fc.constantFrom("2026-02-30T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "now"),
    ),
  };

  const proper = (schema: Schema, depth: number): fc.Arbitrary<unknown> => {
    if (schema.$ref !== undefined) return proper(document.components.schemas[schema.$ref.split("/").at(-1)!] as Schema, depth);
    if (schema.const !== undefined) return fc.constant(schema.const);
    if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
    if (schema.oneOf !== undefined && schema.type === undefined) return fc.oneof(...schema.oneOf.map((one) => proper(one, depth)));
    if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map((one) => proper(one, depth)));
    switch (schema.type) {
      case "object":
        return depth === 0 ? fc.constant({}) : object(schema, depth - 1);
      case "array": {
        const { minItems = 0, maxItems = 3, items = {} } = schema;
        return fc.array(sometimesWrong(items, depth), { minLength: Math.min(minItems, 3), maxLength: Math.min(maxItems, 3) });
      }
      case "integer":
        return fc.oneof(
          fc.integer({ min: schema.minimum ?? -10, max: Math.min(schema.maximum ?? 100, 2 ** 31 - 1) }),
          fc.constantFrom(1, 2, schema.maximum ?? 2 ** 31 - 1),
        );
      case "number":
        return fc.double({ noNaN: true });
      case "boolean":
        return fc.boolean();
      case "string":
        return text(schema);
      default:
        return junk;
    }
  };
  const text = ({ format, pattern, maxLength = 1_000, minLength = 0 }: Schema): fc.Arbitrary<unknown> => {
    if (format !== undefined) return ofFormat[format] ?? anyText;
    if (pattern !== undefined && !pattern.includes("\\p"))
      return fc.oneof(
        anyText,
        fc.stringMatching(new RegExp(pattern)).map((one) => one.slice(0, maxLength)),
      );
    return anyText.map((one) => one.slice(0, maxLength).padEnd(Math.min(minLength, 300), "x"));
  };
  const object = ({ properties = {}, required = [], additionalProperties }: Schema, depth: number): fc.Arbitrary<unknown> => {
    const known = Object.entries(properties).filter(([, { readOnly }]) => readOnly !== true);
    if (known.length === 0 && typeof additionalProperties === "object")
      return fc.dictionary(fc.string(), proper(additionalProperties, depth), { maxKeys: 2 });
    return fc.record(Object.fromEntries(known.map(([name, schema]) => [name, sometimesWrong(schema, depth)])), {
      requiredKeys: required.filter((name) => known.some(([one]) => one === name)),
    });
  };
  const sometimesWrong = (schema: Schema, depth: number): fc.Arbitrary<unknown> =>
    fc.oneof({ arbitrary: proper(schema, depth), weight: 24 }, { arbitrary: junk, weight: 1 });

  return (schema) => fc.oneof({ arbitrary: proper(schema as Schema, 4), weight: 9 }, { arbitrary: junk, weight: 1 });
}
