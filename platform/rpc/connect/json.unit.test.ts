import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import type { DescMessage, JsonValue, MessageShape } from "@bufbuild/protobuf";
import { Colour, KindsSchema, RuledSchema, Switch, UpdateThingRequestSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { jsonCodec } from "../../contract/json.ts";

/** As a request or a response travels between services of ours. */
function carried<D extends DescMessage>(schema: D, message: MessageShape<D>): MessageShape<D> {
  const codec = jsonCodec(schema);
  return codec.decode(JSON.parse(codec.encode(message)), { from: "server" });
}

/** As it travels to a client that is not ours, and back. */
function carriedElsewhere<D extends DescMessage>(schema: D, message: MessageShape<D>): MessageShape<D> {
  const codec = jsonCodec(schema);
  const there = fromJson(schema, JSON.parse(codec.encode(message)) as JsonValue);
  return codec.decode(toJson(schema, there), { from: "server" });
}

describe("messages as JSON between services", () => {
  it("API-06: every kind of field arrives as it was sent", () => {
    const leaf = { name: "leaf", count: 7 };
    const at = { seconds: 1_790_000_000n, nanos: 123_456_789 };
    const kinds = create(KindsSchema, {
      text: "tea",
      whole: -1,
      natural: 4_294_967_295,
      zigzag: -2_147_483_648,
      fixed: 1,
      signedFixed: -1,
      long: -9_223_372_036_854_775_808n,
      naturalLong: 18_446_744_073_709_551_615n,
      longText: "42",
      real: Number.NaN,
      smallReal: Number.POSITIVE_INFINITY,
      yes: true,
      data: Uint8Array.from({ length: 256 }, (_, n) => n),
      colour: Colour.DARK_BLUE,
      switch: Switch.ON,
      maybeText: "",
      maybeWhole: 0,
      maybeYes: false,
      maybeColour: Colour.COLOUR_UNSPECIFIED,
      maybeData: new Uint8Array(),
      leaf,
      at,
      mask: { paths: ["display_name", "leaf.count"] },
      texts: ["", "a", "\u2028"],
      wholes: [0, 1],
      longs: [1n, -1n],
      datas: [new Uint8Array([255])],
      colours: [Colour.RED, Colour.COLOUR_UNSPECIFIED],
      leaves: [leaf, {}],
      times: [at],
      words: { a: "b", "": "" },
      numbered: { 1: leaf },
      painted: { true: Colour.RED },
      blobs: { "-1": new Uint8Array([1, 2]) },
      choice: { case: "chosenLeaf", value: leaf },
      price: { currency: "EUR", amount: "1.00" },
      wrappedText: "",
      wrappedLong: 5n,
      free: { a: [1, null, { b: "c" }] },
      anything: { kind: { case: "nullValue", value: 0 } },
      lasts: { seconds: 90n, nanos: 5 },
      again: { text: "inner", again: { whole: 3 } },
      constructor$: "taken",
    });
    assert.deepEqual(carried(KindsSchema, kinds), kinds);
    assert.deepEqual(toBinary(KindsSchema, carried(KindsSchema, kinds)), toBinary(KindsSchema, kinds));
    assert.deepEqual(carried(KindsSchema, create(KindsSchema)), create(KindsSchema));
    assert.deepEqual(carriedElsewhere(KindsSchema, kinds), kinds);
    assert.deepEqual(carriedElsewhere(KindsSchema, create(KindsSchema)), create(KindsSchema));
  });

  it("API-06: secrets, fields that only the server sets, and masks arrive too", () => {
    const ruled = create(RuledSchema, {
      password: "hunter2",
      id: "thg_1",
      email: "ann@example.com",
      parent: { id: "thg_2", password: "" },
    });
    assert.deepEqual(carried(RuledSchema, ruled), ruled);
    const update = create(UpdateThingRequestSchema, { thing: "thg_1", updateMask: { paths: ["display_name"] } });
    assert.deepEqual(carried(UpdateThingRequestSchema, update), update);
  });

  it("API-06: lists may be longer than a client's", () => {
    const texts = Array.from({ length: 5_000 }, (_, n) => `text ${n}`);
    assert.equal(carried(KindsSchema, create(KindsSchema, { texts })).texts.length, 5_000);
  });

  it("API-06: what a newer service sends besides is passed over", () => {
    const read = jsonCodec(KindsSchema).decode({ text: "tea", newField: { a: 1 }, colour: 99 }, { from: "server" });
    assert.deepEqual([read.text, read.colour], ["tea", 99]);
  });
});
