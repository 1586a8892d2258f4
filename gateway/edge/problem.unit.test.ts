import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { httpStatusOf } from "@kontor/platform/errors/http-status.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Code } from "@kontor/platform/errors/refusal.ts";
import { decodeRefusal, encodeRefusal, statusOf } from "@kontor/platform/rpc/wire-problem.ts";
import { problemOf } from "./problem.ts";

/** gRPC's statuses by number and name, their RPC codes, and the HTTP status for each. */
const table: readonly [number: number, name: string, code: Code | undefined, http: number | undefined][] = [
  [0, "OK", undefined, undefined],
  [1, "CANCELLED", undefined, undefined], // a client that has disconnected gets no response
  [2, "UNKNOWN", undefined, undefined],
  [3, "INVALID_ARGUMENT", "invalid_argument", 400],
  [4, "DEADLINE_EXCEEDED", "deadline_exceeded", 504],
  [5, "NOT_FOUND", "not_found", 404],
  [6, "ALREADY_EXISTS", "already_exists", 409],
  [7, "PERMISSION_DENIED", "permission_denied", 403],
  [8, "RESOURCE_EXHAUSTED", "resource_exhausted", 429],
  [9, "FAILED_PRECONDITION", "failed_precondition", 409],
  [10, "ABORTED", "aborted", 409],
  [11, "OUT_OF_RANGE", undefined, undefined],
  [12, "UNIMPLEMENTED", "unimplemented", 501],
  [13, "INTERNAL", "internal", 500],
  [14, "UNAVAILABLE", "unavailable", 503],
  [15, "DATA_LOSS", undefined, undefined],
  [16, "UNAUTHENTICATED", "unauthenticated", 401],
];

describe("problems", () => {
  const reasons = new Map();
  for (const [number, name, code, http] of table)
    if (code !== undefined)
      it(`GW-09: gRPC's ${name} (${number}) is ${http} over REST, also when it came from another process`, () => {
        const refusal = refuse({ reason: "TEA_IS_COLD", code, message: "Warm it", details: { degrees: 20 }, retryAfterMs: 1500 });
        assert.deepEqual([statusOf[code], httpStatusOf[code]], [number, http]);
        const [here, there] = [refusal, decodeRefusal(encodeRefusal(refusal))!].map((one) => problemOf(one, { reasons, traceId: "0" }));
        assert.equal(here!.status, http);
        assert.deepEqual(here, there);
      });

  it("GW-09: no other code leaves the gateway", () => {
    const ours = table.flatMap(([, , code]) => (code === undefined ? [] : [code]));
    assert.deepEqual(Object.keys(httpStatusOf).toSorted(), ours.toSorted());
    assert.deepEqual(Object.keys(statusOf).toSorted(), ours.toSorted());
    assert.deepEqual(new Set(Object.values(statusOf)), new Set(table.flatMap(([number, , code]) => (code === undefined ? [] : [number]))));
  });

  it("RES-06: what is unavailable or busy is 503, with the seconds after which to retry", () => {
    const headersOf = (reason: string, retryAfterMs?: number) =>
      problemOf(refuse({ reason, code: "unavailable", ...(retryAfterMs !== undefined && { retryAfterMs }) }), { reasons, traceId: "0" });
    for (const [reason, retryAfterMs, expected] of [
      ["DEPENDENCY_UNAVAILABLE", undefined, "1"],
      ["DEPENDENCY_UNAVAILABLE", 2_100, "3"],
      ["OVERLOADED", 1, "1"],
    ] as const) {
      const { status, headers, body } = headersOf(reason, retryAfterMs);
      assert.equal(status, 503);
      assert.equal(headers[headers.indexOf("Retry-After") + 1], expected);
      assert.equal((JSON.parse(body) as { reason: string }).reason, reason);
    }
  });
});
