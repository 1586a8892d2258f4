import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Allow } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { refusalIn } from "../errors/refusal.ts";
import { checkAccess } from "./access.ts";

const userWith = (...roles: string[]) => ({ id: "usr_1", session: "ses_1", roles, verified: true });

function outcome(allow: Allow[], caller: string, user?: ReturnType<typeof userWith>, callers: string[] = []): string {
  try {
    checkAccess({ allow, callers }, { caller, user });
    return "passes";
  } catch (error) {
    return refusalIn(error)?.reason ?? String(error);
  }
}

describe("access", () => {
  const guest = undefined;
  const cases: [what: string, allow: Allow[], caller: string, user: ReturnType<typeof userWith> | undefined, expected: string][] = [
    ["no access option, from the edge", [], "gateway", userWith("admin"), "PERMISSION_DENIED"],
    ["no access option, from a service", [], "orders", userWith("admin"), "PERMISSION_DENIED"],
    ["an unspecified value", [Allow.ALLOW_UNSPECIFIED], "gateway", userWith("admin"), "PERMISSION_DENIED"],
    ["public, guest", [Allow.PUBLIC], "gateway", guest, "passes"],
    ["public, from a service", [Allow.PUBLIC], "orders", guest, "passes"],
    ["internal, from the edge", [Allow.INTERNAL], "gateway", guest, "PERMISSION_DENIED"],
    ["internal, from the edge as admin", [Allow.INTERNAL], "gateway", userWith("admin"), "PERMISSION_DENIED"],
    ["internal, from nobody", [Allow.INTERNAL], "", guest, "PERMISSION_DENIED"],
    ["internal, from a service", [Allow.INTERNAL], "orders", guest, "passes"],
    ["internal or admin, from a service", [Allow.INTERNAL, Allow.ADMIN], "orders", guest, "passes"],
    ["internal or admin, guest at the edge", [Allow.INTERNAL, Allow.ADMIN], "gateway", guest, "UNAUTHENTICATED"],
    ["internal or admin, admin at the edge", [Allow.INTERNAL, Allow.ADMIN], "gateway", userWith("admin"), "passes"],
    ["authenticated, guest", [Allow.AUTHENTICATED], "gateway", guest, "UNAUTHENTICATED"],
    ["authenticated, from a service without a user", [Allow.AUTHENTICATED], "orders", guest, "UNAUTHENTICATED"],
    ["authenticated, from a service with the user", [Allow.AUTHENTICATED], "orders", userWith(), "passes"],
    ["seller, shopper", [Allow.SELLER], "gateway", userWith(), "PERMISSION_DENIED"],
    ["seller, seller", [Allow.SELLER], "gateway", userWith("seller"), "passes"],
    ["admin, seller", [Allow.ADMIN], "gateway", userWith("seller"), "PERMISSION_DENIED"],
    ["support or admin, admin", [Allow.SUPPORT, Allow.ADMIN], "gateway", userWith("support", "admin"), "passes"],
  ];
  for (const [what, allow, caller, user, expected] of cases)
    it(`${what}: ${expected}`, () => assert.equal(outcome(allow, caller, user), expected));

  it("internal, from the gateway that the contract names among the callers: passes", () => {
    assert.equal(outcome([Allow.INTERNAL], "gateway", guest, ["gateway"]), "passes");
    assert.equal(outcome([Allow.INTERNAL], "gateway", userWith("admin"), ["orders"]), "PERMISSION_DENIED");
    assert.equal(outcome([Allow.INTERNAL], "", guest, ["gateway"]), "PERMISSION_DENIED");
  });
});
