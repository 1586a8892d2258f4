import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { docsOf } from "./proto-docs.ts";

describe("the comments of the contracts", () => {
  it("are found by the full name of what they describe", () => {
    const location = (path: readonly number[], leadingComments: string): { path: readonly number[]; leadingComments: string } => ({
      path,
      leadingComments,
    });
    const file = {
      package: "kontor.a.v1",
      messageType: [
        {
          name: "M",
          field: [{ name: "f" }],
          oneofDecl: [{ name: "o" }],
          nestedType: [{ name: "N", field: [{ name: "g" }] }],
          enumType: [{ name: "E", value: [{ name: "X" }] }],
        },
      ],
      service: [{ name: "S", method: [{ name: "Do" }] }],
      sourceCodeInfo: {
        location: [
          location([4, 0], " A message\n that goes on.\n\n And on.\n"),
          location([4, 0, 2, 0], " A field."),
          location([4, 0, 8, 0], " One of."),
          location([4, 0, 3, 0, 2, 0], " Deeper."),
          location([4, 0, 4, 0, 2, 0], " A value."),
          location([6, 0, 2, 0], " A method."),
          location([6, 0], " "),
          location([2], " A package."),
        ],
      },
    };
    assert.deepEqual(docsOf([file, { ...file, package: "google.api" }]), {
      "kontor.a.v1.M": "A message that goes on.\n\nAnd on.",
      "kontor.a.v1.M.E.X": "A value.",
      "kontor.a.v1.M.N.g": "Deeper.",
      "kontor.a.v1.M.f": "A field.",
      "kontor.a.v1.M.o": "One of.",
      "kontor.a.v1.S": "A package.",
      "kontor.a.v1.S.Do": "A method.",
    });
  });
});
