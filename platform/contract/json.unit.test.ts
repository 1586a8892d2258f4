import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, equals, toJson } from "@bufbuild/protobuf";
import type { DescMessage, JsonValue } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  Colour,
  KindsSchema,
  ListThingsRequestSchema,
  PlaceThingResponseSchema,
  RuledSchema,
  Switch,
  ThingSchema,
  UpdateThingRequestSchema,
} from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import fc from "fast-check";
import { Refusal } from "../errors/refusal.ts";
import { anyMessage } from "./arbitrary-message.ts";
import { jsonCodec } from "./json.ts";
import type { DecodeOptions } from "./json.ts";
import { problemsMax } from "./problems.ts";

const kinds = jsonCodec(KindsSchema);

/** The wrong fields, as "field REASON". */
function problemsOf(work: () => unknown): string[] {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof Refusal, String(error));
    assert.deepEqual([error.reason, error.code], ["INVALID_REQUEST", "invalid_argument"]);
    for (const { message } of error.fields) assert.match(message, /^[a-z]/);
    return error.fields.map(({ field, reason }) => `${field} ${reason}`);
  }
  return [];
}

const decoding = (schema: DescMessage, json: string, options?: DecodeOptions): string[] =>
  problemsOf(() => jsonCodec(schema).decode(JSON.parse(json), options));

describe("JSON of messages, written", () => {
  it("is read back as the same message", () => {
    fc.assert(
      fc.property(anyMessage(KindsSchema), (message) =>
        equals(KindsSchema, message, kinds.decode(JSON.parse(kinds.encode(message)), { from: "server" })),
      ),
    );
  });

  it("is what protobuf-es writes, but for enums that are unspecified", () => {
    const withoutUnspecified = (json: JsonValue): JsonValue => {
      if (typeof json !== "object" || json === null) return json;
      if (Array.isArray(json)) return json.map(withoutUnspecified);
      const kept = Object.entries(json).filter(([key, value]) => key !== "colour" || value !== "COLOUR_UNSPECIFIED");
      return Object.fromEntries(kept.map(([key, value]) => [key, withoutUnspecified(value)]));
    };
    fc.assert(
      fc.property(anyMessage(KindsSchema), (message) => {
        const theirs = JSON.parse(JSON.stringify(toJson(KindsSchema, message, { alwaysEmitImplicit: true }))) as JsonValue;
        assert.deepEqual(JSON.parse(kinds.encode(message)), withoutUnspecified(theirs));
      }),
    );
  });

  it("always has lists, maps and scalars, and never null", () => {
    assert.equal(
      jsonCodec(ThingSchema).encode(create(ThingSchema, { createdAt: timestampFromDate(new Date("2026-01-31T12:00:00.500Z")) })),
      '{"id":"","displayName":"","version":0,"createdAt":"2026-01-31T12:00:00.500Z","lines":[]}',
    );
    assert.equal(jsonCodec(PlaceThingResponseSchema).encode(create(PlaceThingResponseSchema)), "{}");
    assert.equal(
      jsonCodec(PlaceThingResponseSchema).encode(
        create(PlaceThingResponseSchema, { outcome: { case: "pending", value: { thing: 'a"b\n' } } }),
      ),
      String.raw`{"pending":{"thing":"a\"b\n"}}`,
    );
    assert.match(
      kinds.encode(create(KindsSchema, { colour: Colour.DARK_BLUE, switch: Switch.OFF })),
      /"colour":"DARK_BLUE","switch":"OFF"/,
    );
    assert.doesNotMatch(kinds.encode(create(KindsSchema)), /null|colour"|maybe/);
  });
});

describe("JSON of messages, read", () => {
  it("names unknown fields, wrong types and unknown enum values, all of them", () => {
    const body = `{
      "text": 1, "whole": 1.5, "natural": -1, "long": "1x", "real": "1", "yes": "true", "data": "a", "colour": "PINK", "at": "2026-02-30T00:00:00Z",
      "maybeWhole": 3000000000, "leaf": [], "texts": {}, "wholes": [1, "2"], "leaves": [{"name": "a"}, {"count": true, "more": 1}], "words": {"a": 1},
      "maybe_text": "by its proto name", "nothing": 1
    }`;
    assert.deepEqual(decoding(KindsSchema, body), [
      "text WRONG_TYPE",
      "whole NOT_WHOLE",
      "natural OUT_OF_RANGE",
      "long WRONG_TYPE",
      "real WRONG_TYPE",
      "yes WRONG_TYPE",
      "data FORMAT",
      "colour NOT_ONE_OF",
      "at FORMAT",
      "maybeWhole OUT_OF_RANGE",
      "leaf WRONG_TYPE",
      "texts WRONG_TYPE",
      "wholes[1] WRONG_TYPE",
      "leaves[1].count WRONG_TYPE",
      "leaves[1].more UNKNOWN_FIELD",
      "words.a WRONG_TYPE",
      "maybe_text UNKNOWN_FIELD",
      "nothing UNKNOWN_FIELD",
    ]);
  });

  it("refuses names that would change a prototype", () => {
    assert.deepEqual(decoding(ThingSchema, '{"__proto__": {"id": "x"}, "constructor": {}, "toString": 1}'), [
      "__proto__ UNKNOWN_FIELD",
      "constructor UNKNOWN_FIELD",
      "toString UNKNOWN_FIELD",
    ]);
    assert.deepEqual(decoding(KindsSchema, '{"words": {"__proto__": "x"}, "free": {"a": [{"__proto__": 1}]}}'), [
      "words.__proto__ KEY",
      "free KEY",
    ]);
    assert.equal(Object.getPrototypeOf(kinds.decode(JSON.parse('{"words": {"constructor": "x"}}')).words), Object.prototype);
    assert.equal(kinds.decode({ constructor: "a field of this name" }).constructor$, "a field of this name");
  });

  it("refuses a body that is no object, and reads none as an empty one", () => {
    for (const body of ["1", '"a"', "[]", "null", "true"]) assert.deepEqual(decoding(ThingSchema, body), ["$ WRONG_TYPE"]);
    assert.ok(equals(ThingSchema, jsonCodec(ThingSchema).decode(undefined), create(ThingSchema)));
  });

  it("takes one member of a oneof only", () => {
    assert.deepEqual(decoding(KindsSchema, '{"chosenWhole": 2, "chosenText": "a"}'), ["chosenText ONE_OF"]);
  });

  it("reads times of RFC 3339 only", () => {
    const read = (at: string): unknown => kinds.decode({ at }).at;
    assert.deepEqual(read("2026-01-31T13:00:00.25+01:00"), timestampFromDate(new Date("2026-01-31T12:00:00.250Z")));
    for (const at of [
      "2026-01-31",
      "2026-01-31T12:00:00",
      "2026-01-31 12:00:00Z",
      "2026-13-01T00:00:00Z",
      "2025-02-29T00:00:00Z",
      "2026-01-31T24:00:00Z",
      "2026-01-31T12:00:60Z",
      "2026-01-31T12:00:00+24:00",
      "0001-01-01T00:00:00+01:00",
      "0000-01-01T00:00:00Z",
    ])
      assert.deepEqual(
        problemsOf(() => read(at)),
        ["at FORMAT"],
        at,
      );
  });

  it("reads base64 in both alphabets, whole or not at all", () => {
    const read = (data: string): Uint8Array => kinds.decode({ data }).data;
    for (const text of ["-_8=", "-_8", "+/8=", "+/8"]) assert.deepEqual(read(text), new Uint8Array([251, 255]), text);
    for (const text of ["a", "ab=c", "ab===", "a b=", "+_8=", "abc==", "ab="])
      assert.deepEqual(
        problemsOf(() => read(text)),
        ["data FORMAT"],
        text,
      );
  });

  it("refuses numbers that are none: beyond a double, a float, 64 bits", () => {
    assert.deepEqual(
      decoding(KindsSchema, '{"real": 1e999, "smallReal": 1e39, "whole": 1e999, "long": "9223372036854775808", "naturalLong": -1}'),
      ["real OUT_OF_RANGE", "smallReal OUT_OF_RANGE", "whole OUT_OF_RANGE", "long OUT_OF_RANGE", "naturalLong OUT_OF_RANGE"],
    );
    assert.equal(Object.is(kinds.decode(JSON.parse('{"whole": -0}')).whole, 0), true);
  });

  it("refuses fields that only the server sets, at any depth", () => {
    assert.deepEqual(decoding(RuledSchema, '{"id": "x", "lines": [{"id": "y"}]}'), ["id OUTPUT_ONLY", "lines[0].id OUTPUT_ONLY"]);
    assert.equal(jsonCodec(RuledSchema).decode({ id: "x", new: 1 }, { from: "server" }).id, "x");
  });

  it("refuses what is deeper than 32 levels", () => {
    const nested = (levels: number): string => '{"again":'.repeat(levels) + "{}" + "}".repeat(levels);
    assert.deepEqual(decoding(KindsSchema, nested(32)), []);
    assert.match(decoding(KindsSchema, nested(33))[0] ?? "", /TOO_DEEP$/);
    assert.match(decoding(KindsSchema, nested(5000))[0] ?? "", /TOO_DEEP$/);
    assert.deepEqual(decoding(KindsSchema, `{"free": {"a": ${"[".repeat(1000)}${"]".repeat(1000)}}}`), ["free TOO_DEEP"]);
  });

  it("does not look at the items of a list that is too long", () => {
    let looked = 0;
    const items = new Proxy(Array.from({ length: 100_000 }), {
      get: (target, property) => (property === "length" ? target.length : (looked++, Reflect.get(target, property))),
    });
    assert.deepEqual(
      problemsOf(() => jsonCodec(RuledSchema).decode({ lines: items, tags: ["a", "b", "c", "d"], labels: { a: "", b: "", c: "" } })),
      ["lines TOO_MANY", "tags TOO_MANY", "labels TOO_MANY"],
    );
    assert.deepEqual(
      problemsOf(() => kinds.decode({ texts: items })),
      ["texts TOO_MANY"],
    );
    assert.equal(looked, 0);
  });

  it("stops after as many problems as it names", () => {
    assert.equal(decoding(KindsSchema, JSON.stringify({ texts: Array.from({ length: 1000 }, () => 1) })).length, problemsMax);
  });
});

describe("JSON of messages, with a path or a query", () => {
  const things = jsonCodec(ListThingsRequestSchema);
  const update = jsonCodec(UpdateThingRequestSchema);

  it("reads a query", () => {
    const query = new URLSearchParams("limit=5&published=true&colour=RED&createdAfter=2026-01-31T12:00:00Z&sku=a&sku=b&priceMin=1.5");
    const expected = create(ListThingsRequestSchema, {
      limit: 5,
      published: true,
      colour: Colour.RED,
      createdAfter: timestampFromDate(new Date("2026-01-31T12:00:00Z")),
      sku: ["a", "b"],
      priceMin: 1.5,
      shop: "s",
    });
    assert.ok(equals(ListThingsRequestSchema, things.decodeQuery(query, { shop: "s" }), expected));
    assert.deepEqual(things.decodeQuery(new URLSearchParams("sku=a")).sku, ["a"]);
  });

  it("names parameters that are unknown, wrong, or there twice", () => {
    const query =
      "limit=1.5&published=yes&colour=red&createdAfter=now&sku=1&sku=2&sku=3&sku=4&priceMin=&cursor=a&cursor=b&first=1&shop=x&__proto__=1";
    assert.deepEqual(
      problemsOf(() => things.decodeQuery(new URLSearchParams(query), { shop: "s" })),
      [
        "shop UNKNOWN_FIELD",
        "limit NOT_WHOLE",
        "published WRONG_TYPE",
        "colour NOT_ONE_OF",
        "createdAfter FORMAT",
        "sku TOO_MANY",
        "priceMin WRONG_TYPE",
        "cursor WRONG_TYPE",
        "first UNKNOWN_FIELD",
        "__proto__ UNKNOWN_FIELD",
      ],
    );
    for (const limit of ["", " 5", "0x5", "5e0", "Infinity", "99999999999999999999"])
      assert.equal(problemsOf(() => things.decodeQuery([["limit", limit]])).length, 1, limit);
  });

  it("reads a path's parameters, whose fields the body cannot have", () => {
    assert.equal(update.decode({ version: 2 }, { path: { thing: "t1" } }).thing, "t1");
    assert.equal(update.decodeText({ display_name: "by its name in the template" }).displayName, "by its name in the template");
    assert.deepEqual(decoding(UpdateThingRequestSchema, '{"thing": "t2"}', { path: { thing: "t1" } }), ["thing UNKNOWN_FIELD"]);
  });

  it("fills the mask of a change with what was sent, and takes none", () => {
    const sent = update.decode({ displayName: "New", leaf: {} }, { path: { thing: "t1" }, fillMask: true });
    assert.deepEqual(sent.updateMask?.paths, ["display_name", "leaf"]);
    assert.deepEqual(update.decode({}, { fillMask: true }).updateMask?.paths, []);
    assert.equal(update.decode({ displayName: "New" }).updateMask, undefined);
    assert.deepEqual(decoding(UpdateThingRequestSchema, '{"updateMask": "leaf"}', { fillMask: true }), ["updateMask UNKNOWN_FIELD"]);
    assert.deepEqual(
      problemsOf(() => update.decodeQuery([["updateMask", "leaf"]])),
      ["updateMask UNKNOWN_FIELD"],
    );
  });
});
