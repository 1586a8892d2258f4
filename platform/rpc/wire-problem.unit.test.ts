import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, getOption, hasOption, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { refusal as refusalOption } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { ProblemSchema, StatusSchema } from "@kontor/contracts/gen/kontor/rpc/v1/problem_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import { connectStatusOf, errorJson, readError } from "./connect/error.ts";
import { refuse } from "../errors/refusal.ts";
import type { Code, Refusal } from "../errors/refusal.ts";
import { decodeRefusal, encodeRefusal, statusOf } from "./wire-problem.ts";

/** Each reason of the contracts, with the codes that are given for it. */
const reasons = new Map<string, Set<string>>();
for (const type of contracts)
  if (type.kind === "enum")
    for (const value of type.values)
      if (hasOption(value, refusalOption))
        reasons.set(value.name, (reasons.get(value.name) ?? new Set()).add(getOption(value, refusalOption).code));

const wires: Readonly<Record<string, (refusal: Refusal) => Refusal | undefined>> = {
  gRPC: (refusal) => decodeRefusal(encodeRefusal(refusal)),
  HTTP: (refusal) => readError(JSON.parse(JSON.stringify(errorJson(refusal))), 400).refusal,
};

describe("refusals between services", () => {
  it("API-05: each domain reason has one status code, by the names of both wires", () => {
    assert.ok(reasons.size > 40, `${reasons.size} reasons`);
    for (const [reason, codes] of reasons) {
      assert.equal(codes.size, 1, `${reason} has the codes ${[...codes].join()}`);
      const [code] = codes as Set<Code>;
      assert.ok(
        code !== undefined && statusOf[code] !== undefined && connectStatusOf[code] !== undefined,
        `${reason} has the code "${code}"`,
      );
    }
  });

  for (const [wire, carry] of Object.entries(wires))
    it(`API-05: each domain reason survives ${wire} with its details`, () => {
      for (const [reason, [code]] of reasons) {
        const refusal = refuse({
          reason,
          code: code as Code,
          message: 'Genügend ist nicht da — "2" left\n',
          details: { free: 2, skus: ["tea", "coffee"], nested: { yes: true, none: null, price: { currency: "EUR", amount: "1.50" } } },
          fields: [{ field: "lines[0].quantity", reason: "TOO_MANY", message: "at most 2" }],
          retryAfterMs: 1500,
        });
        assert.deepEqual(carry(refusal), refusal);
        const bare = refuse({ reason, code: code as Code });
        assert.deepEqual(carry(bare), bare);
      }
    });

  it("API-05: each code is a status of gRPC's by the same name, and no two are the same", () => {
    for (const [code, number] of Object.entries(statusOf)) assert.equal(status[number], code.toUpperCase());
    assert.equal(new Set(Object.values(statusOf)).size, Object.keys(statusOf).length);
    assert.deepEqual(Object.keys(connectStatusOf).toSorted(), Object.keys(statusOf).toSorted());
    for (const number of Object.values(connectStatusOf)) assert.ok(number >= 400 && number < 600);
  });

  it("a refusal that is too long for a header loses its last fields, then its details, and never its reason", () => {
    const fields = Array.from({ length: 5_000 }, (_, n) => ({ field: `lines[${n}]`, reason: "TOO_MANY", message: "at most 2" }));
    const long = refuse({ reason: "INVALID_REQUEST", code: "invalid_argument", details: { free: 2 }, fields });
    const read = decodeRefusal(encodeRefusal(long));
    assert.deepEqual([read?.reason, read?.details], ["INVALID_REQUEST", { free: 2 }]);
    assert.ok(read !== undefined && read.fields.length > 100);
    assert.deepEqual(read.fields, fields.slice(0, read.fields.length));
    const huge = refuse({ reason: "NO", code: "aborted", message: "n".repeat(100_000), details: { text: "n".repeat(100_000) } });
    const bytes = encodeRefusal(huge);
    assert.ok(bytes.length <= 16 * 1024);
    assert.deepEqual([decodeRefusal(bytes)?.reason, decodeRefusal(bytes)?.details], ["NO", {}]);
  });

  it("reads no refusal from anything else", () => {
    assert.equal(decodeRefusal(Buffer.from("no protobuf at all")), undefined);
    assert.equal(decodeRefusal(new Uint8Array()), undefined);
    assert.equal(decodeRefusal(toBinary(StatusSchema, create(StatusSchema, { code: 9, message: "another system's" }))), undefined);
    for (const json of [
      undefined,
      null,
      1,
      [],
      {},
      { code: 1 },
      { code: "aborted", message: 1 },
      { code: "aborted", details: {} },
      { code: "aborted", details: [null, 1, {}, { type: "google.protobuf.Empty", value: "" }] },
      { code: "aborted", details: [{ type: ProblemSchema.typeName, value: "____" }] },
      { code: "toString", details: [{ type: ProblemSchema.typeName, value: "" }] },
    ])
      assert.equal(readError(json, 400).refusal, undefined);
  });
});
