import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, equals } from "@bufbuild/protobuf";
import { KindsSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { refusalIn } from "../errors/refusal.ts";
import { jsonCodec } from "./json.ts";

const kinds = jsonCodec(KindsSchema);

function problemsOf(json: unknown): readonly string[] {
  try {
    kinds.decode(json);
    return [];
  } catch (error) {
    return refusalIn(error)!.fields.map(({ field, reason }) => `${field} ${reason}`);
  }
}

describe("null", () => {
  it("API-05: is refused, because the schemas do not have it: a field without a value is left out", () => {
    const names = [
      "text",
      "maybeWhole",
      "yes",
      "data",
      "colour",
      "texts",
      "words",
      "leaf",
      "at",
      "lasts",
      "free",
      "wrappedText",
      "chosenText",
    ];
    for (const name of names) assert.match(problemsOf({ [name]: null }).join(), new RegExp(`^${name} (WRONG_TYPE|FORMAT)$`));
    assert.deepEqual(problemsOf({ texts: [null], leaves: [null], nothing: null }), [
      "texts[0] WRONG_TYPE",
      "leaves[0] WRONG_TYPE",
      "nothing UNKNOWN_FIELD",
    ]);
    assert.deepEqual(problemsOf({ anything: null }), []);
  });

  it("is the absence of a value where JSON is protobuf's: of a server, and over Connect", () => {
    const sent = { text: null, texts: null, words: null, leaf: null, at: null, maybeText: null, chosenText: null };
    for (const options of [{ nullIsAbsent: true }, { from: "server" }] as const)
      assert.ok(equals(KindsSchema, kinds.decode(sent, options), create(KindsSchema)));
    const { choice } = kinds.decode({ chosenWhole: 2, chosenText: null }, { nullIsAbsent: true });
    assert.deepEqual(choice, { case: "chosenWhole", value: 2 });
  });
});
