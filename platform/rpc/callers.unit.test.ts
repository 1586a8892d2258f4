import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { refusalIn } from "../errors/refusal.ts";
import { certificateCallers, checkCaller, tokenCallers } from "./callers.ts";
import type { Callers } from "./callers.ts";

const callers = tokenCallers(Buffer.alloc(32, 1));

function outcome(of: Callers, caller: string, shown: { identities?: readonly string[]; token?: string | undefined }): string {
  try {
    of.check(caller, { identities: shown.identities, token: shown.token });
    return "passes";
  } catch (error) {
    return refusalIn(error)?.reason ?? String(error);
  }
}

describe("callers by token", () => {
  const token = callers.token("orders");
  const cases: [what: string, caller: string, token: string | undefined, expected: string][] = [
    ["its own", "orders", token, "passes"],
    ["none", "orders", undefined, "UNAUTHENTICATED"],
    ["an empty one", "orders", "", "UNAUTHENTICATED"],
    ["another service's", "orders", callers.token("catalog"), "UNAUTHENTICATED"],
    ["another installation's", "orders", tokenCallers(Buffer.alloc(32, 2)).token("orders"), "UNAUTHENTICATED"],
    ["one that is longer", "orders", `${token}x`, "UNAUTHENTICATED"],
    ["one in capitals", "orders", token?.toUpperCase(), "UNAUTHENTICATED"],
    ["no name", "", callers.token(""), "UNAUTHENTICATED"],
  ];
  for (const [what, caller, shown, expected] of cases)
    it(`ID-12: ${what}: ${expected}`, () => assert.equal(outcome(callers, caller, { token: shown }), expected));

  it("ID-12: certificates do not replace a token", () =>
    assert.equal(outcome(callers, "orders", { identities: ["orders"] }), "UNAUTHENTICATED"));

  it("works after thousands of made-up names", () => {
    for (let n = 0; n < 3_000; n++) assert.equal(outcome(callers, `name-${n}`, { token: "Bearer x" }), "UNAUTHENTICATED");
    assert.equal(outcome(callers, "name-2999", { token: callers.token("name-2999") }), "passes");
  });
});

describe("callers by certificate", () => {
  const cases: [what: string, caller: string, identities: readonly string[] | undefined, expected: string][] = [
    ["one that names it", "orders", ["orders"], "passes"],
    ["one of several names", "orders", ["catalog", "orders"], "passes"],
    ["another service's", "orders", ["catalog"], "UNAUTHENTICATED"],
    ["none", "orders", undefined, "UNAUTHENTICATED"],
    ["one without names", "orders", [], "UNAUTHENTICATED"],
    ["no name", "", [""], "UNAUTHENTICATED"],
  ];
  for (const [what, caller, identities, expected] of cases)
    it(`SEC-01: ${what}: ${expected}`, () =>
      assert.equal(outcome(certificateCallers, caller, { ...(identities && { identities }), token: callers.token(caller) }), expected));
});

describe("a method's list of callers", () => {
  it("refuses a caller that is not on it, and no caller when it is empty", () => {
    checkCaller({ callers: [] }, "catalog");
    checkCaller({ callers: ["orders"] }, "orders");
    assert.throws(() => checkCaller({ callers: ["orders"] }, "catalog"), { reason: "PERMISSION_DENIED" });
  });
});
