import { getOption } from "@bufbuild/protobuf";
import type { DescMethod } from "@bufbuild/protobuf";
import { access, Allow } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import type { MethodContract } from "../contract/contract.ts";
import { refuse } from "../errors/refusal.ts";
import type { Call } from "../call/call.ts";

/** The name under which the gateway calls. No service has it. */
export const edgeCaller = "gateway";

/**
 * Refuses a call that the method's contract does not allow: `UNAUTHENTICATED` when signing in could help,
 * `PERMISSION_DENIED` otherwise. A service that calls a method which is not internal must forward the user. The gateway calls an internal
 * method only where the contract names it among the callers; such a method has no path, so no client can make it do so.
 */
export function checkAccess(
  contract: Pick<MethodContract, "allow"> & Partial<Pick<MethodContract, "callers">>,
  call: Pick<Call, "caller" | "user">,
): void {
  const { user } = call;
  let signingInHelps = false;
  for (const who of contract.allow) {
    if (who === Allow.PUBLIC) return;
    if (who === Allow.INTERNAL) {
      if (call.caller !== edgeCaller ? call.caller !== "" : contract.callers?.includes(edgeCaller) === true) return;
      continue;
    }
    signingInHelps = true;
    if (user === undefined) continue;
    if (who === Allow.AUTHENTICATED) return;
    const role = roles[who];
    if (role !== undefined && user.roles.includes(role)) return;
  }
  if (signingInHelps && user === undefined) throw refuse({ reason: "UNAUTHENTICATED", code: "unauthenticated" });
  throw refuse({ reason: "PERMISSION_DENIED", code: "permission_denied" });
}

const roles: Readonly<Record<number, string>> = { [Allow.ADMIN]: "admin", [Allow.SELLER]: "seller", [Allow.SUPPORT]: "support" };

/** Whether the caller may use the method on what belongs to this account: because it is the account, or by a role that the method's contract names in `others`. */
export function isOwnOrAllowed(method: DescMethod, account: string, call: Call): boolean {
  return call.signedIn().id === account || isAllowedForOthers(method, call);
}

/** Whether the caller has a role that may use the method on what belongs to others. */
export function isAllowedForOthers(method: DescMethod, { user }: Pick<Call, "user">): boolean {
  return getOption(method, access).others.some((who) => user?.roles.includes(roles[who] ?? "") === true);
}
