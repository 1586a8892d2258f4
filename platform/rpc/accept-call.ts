import type { DescService } from "@bufbuild/protobuf";
import { refuse } from "../errors/refusal.ts";
import { edgeCaller } from "./access.ts";
import type { Call } from "../call/call.ts";
import { checkCaller } from "./callers.ts";
import type { Callers } from "./callers.ts";
import type { ServedMethod, ServedMethods } from "./served-methods.ts";
import { decodeCall, decodeFacts, wireHeaders } from "./wire-call.ts";

/** What says who calls. */
export interface Shown {
  readonly header: (name: string) => string | undefined;
  /** The services that the connection's certificate names. */
  readonly identities: readonly string[] | undefined;
}

/** Who calls, and which service. */
export interface Parties {
  readonly caller: string;
  readonly service: string;
}

/** A call as it arrived over a wire. */
interface ArrivedCall {
  readonly contract: DescService;
  readonly localName: string;
  /** The time that is left until its deadline. */
  readonly timeoutMs: number;
  /** Aborted when the caller disconnects or cancels. */
  readonly signal: AbortSignal;
}

export interface Accepted {
  readonly method: ServedMethod;
  readonly call: Call;
}

interface Needs {
  readonly methods: ServedMethods;
  readonly callers: Callers;
}

/** This process does not serve the method, or not any more. The call was not executed, so the caller may send it to another process. */
export class NotServedHere extends Error {
  override readonly name = "NotServedHere";
}

/**
 * The served method and the call that the headers name. Refuses with UNAUTHENTICATED, PERMISSION_DENIED (the caller is not on the method's list)
 * and INVALID_REQUEST (headers that cannot be read); throws `NotServedHere`.
 */
export function acceptCall(needs: Needs, { header, identities, ...arrived }: ArrivedCall & Shown): Accepted {
  const parties = acceptCaller(needs, { header, identities });
  return acceptCallOf(needs, parties, { ...arrived, facts: decodeFacts(header(wireHeaders.facts) ?? "") });
}

/** Who calls which service, by the headers. Refuses with UNAUTHENTICATED unless the caller proves its name. */
export function acceptCaller({ callers }: Pick<Needs, "callers">, { header, identities }: Shown): Parties {
  const caller = header(wireHeaders.caller) ?? "";
  callers.check(caller, { identities, token: header(wireHeaders.token) });
  return { caller, service: header(wireHeaders.service) ?? "" };
}

/** As `acceptCall`, for a caller that has proved its name. `facts` is JSON. */
export function acceptCallOf(
  { methods }: Pick<Needs, "methods">,
  { caller, service }: Parties,
  { contract, localName, facts, timeoutMs, signal }: ArrivedCall & { readonly facts: string },
): Accepted {
  const method = methods.find(service, contract, localName);
  if (method === undefined || !methods.takesFrom(caller)) throw new NotServedHere(`${service} is not served here`);
  if (caller !== edgeCaller) checkCaller(method.contract, caller);
  const call = decodeCall({ caller, facts, timeoutMs, signal });
  if (call === undefined)
    throw refuse({ reason: "INVALID_REQUEST", code: "invalid_argument", message: "The call's headers cannot be read" });
  return { method, call };
}
