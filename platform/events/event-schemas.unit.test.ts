import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { assertNoPersonalFields, eventMessages, eventSchemas } from "./event-schemas.ts";
import { counted, CountedSchema, leakingRegistry, PlainSchema, testRegistry } from "./test-events.ts";

describe("event schemas", () => {
  it("finds the events among the contracts, and writes and reads them", () => {
    const schemas = eventSchemas(eventMessages(testRegistry));
    const { type, data } = schemas.encode(counted(3));
    assert.equal(type, "test.thing.counted");
    assert.deepEqual(schemas.decode(type, data), counted(3));
    assert.throws(() => schemas.encode(create(PlainSchema)), /Plain is no event/);
    assert.throws(() => schemas.decode("test.thing.gone", data), /test\.thing\.gone/);
    assert.throws(() => schemas.decode(type, Uint8Array.of(255, 255)));
    assert.throws(() => eventSchemas([PlainSchema]), /no option/);
    assert.doesNotThrow(() => eventSchemas([CountedSchema, CountedSchema]));
  });

  it("finds a personal field at any depth of an event", () => {
    assertNoPersonalFields(testRegistry);
    assert.throws(() => assertNoPersonalFields(leakingRegistry), /Met\.parts\.thing/);
  });
});
