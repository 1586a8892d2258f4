import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { PlaceOrderInputSchema } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import { deadlineOf, fixedTimes, reservedUntil } from "./deadline.ts";

describe("the deadline of a checkout", () => {
  it("is a day after its beginning, and units are set aside for an hour more; that of an older version's input too", () => {
    const times = fixedTimes(new Date("2026-03-02T09:00:00Z"));
    for (const input of [create(PlaceOrderInputSchema, times), create(PlaceOrderInputSchema, { at: times.at! })]) {
      assert.equal(deadlineOf(input).toISOString(), "2026-03-03T09:00:00.000Z");
      assert.equal(reservedUntil(input).toISOString(), "2026-03-03T10:00:00.000Z");
    }
  });
});
