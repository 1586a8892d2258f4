import type { DescService } from "@bufbuild/protobuf";
import { refuse } from "../errors/refusal.ts";
import { edgeCaller } from "./access.ts";
import type { Call } from "../call/call.ts";
import { checkCaller } from "./callers.ts";
import type { Callers } from "./callers.ts";
import type { ServedMethod, ServedMethods } from "./served-methods.ts";
import { decodeCall, wireHeaders } from "./wire-call.ts";

/** A call as it arrived over a wire. */
export interface Arrived {
  readonly contract: DescService;
  readonly localName: string;
  readonly header: (name: string) => string | undefined;
  /** The services that the connection's certificate names. */
  readonly identities: readonly string[] | undefined;
  /** The time that is left until its deadline. */
  readonly timeoutMs: number;
  /** Aborted when the caller disconnects or cancels. */
  readonly signal: AbortSignal;
}

export interface Accepted {
  readonly method: ServedMethod;
  readonly call: Call;
}

/** This process does not serve the method, or not any more. The call was not executed, so the caller may send it to another process. */
export class NotServedHere extends Error {
  override readonly name = "NotServedHere";
}

/**
 * The served method and the call that the headers name. Refuses with UNAUTHENTICATED, PERMISSION_DENIED (the caller is not on the method's list)
 * and INVALID_REQUEST (headers that cannot be read); throws `NotServedHere`.
 */
export function acceptCall(
  { methods, callers }: { readonly methods: ServedMethods; readonly callers: Callers },
  { contract, localName, header, identities, timeoutMs, signal }: Arrived,
): Accepted {
  const caller = header(wireHeaders.caller) ?? "";
  callers.check(caller, { identities, token: header(wireHeaders.token) });
  const service = header(wireHeaders.service) ?? "";
  const method = methods.find(service, contract, localName);
  if (method === undefined || !methods.takesFrom(caller)) throw new NotServedHere(`${service} is not served here`);
  if (caller !== edgeCaller) checkCaller(method.contract, caller);
  const call = decodeCall({ caller, facts: header(wireHeaders.facts) ?? "", timeoutMs, signal });
  if (call === undefined)
    throw refuse({ reason: "INVALID_REQUEST", code: "invalid_argument", message: "The call's headers cannot be read" });
  return { method, call };
}
