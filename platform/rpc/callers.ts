import { createHmac, timingSafeEqual } from "node:crypto";
import type { MethodContract } from "../contract/contract.ts";
import { refuse } from "../errors/refusal.ts";
import type { Refusal } from "../errors/refusal.ts";

/** How a server knows who calls, and how a caller shows it. */
export interface Callers {
  /** What `caller` sends as its token; undefined where certificates say who calls. */
  token(caller: string): string | undefined;
  /**
   * Refuses `UNAUTHENTICATED` unless the connection's certificate names the caller, or the token is the caller's. Says nothing of which.
   */
  check(caller: string, shown: { readonly identities: readonly string[] | undefined; readonly token: string | undefined }): void;
}

/** Tokens that follow from the house's master key: for plaintext connections within one machine. Each service has its own. */
export function tokenCallers(masterKey: Uint8Array): Callers {
  const tokens = new Map<string, { readonly text: string; readonly bytes: Buffer }>();
  const tokenOf = (caller: string) => {
    let token = tokens.get(caller);
    if (token !== undefined) return token;
    const text = `Bearer ${createHmac("sha256", masterKey).update(`kontor service token ${caller}`).digest("base64url")}`;
    token = { text, bytes: Buffer.from(text) };
    // Anybody may claim any name: only so many are kept.
    if (tokens.size < 1_000) tokens.set(caller, token);
    return token;
  };
  return {
    token: (caller) => tokenOf(caller).text,
    check(caller, { token }) {
      const expected = tokenOf(caller).bytes;
      const given = Buffer.from(token ?? "");
      if (caller === "" || given.length !== expected.length || !timingSafeEqual(given, expected)) throw unknownCaller();
    },
  };
}

/** Certificates: the caller must be one of the names in that of the connection. */
export const certificateCallers: Callers = {
  token: () => undefined,
  check(caller, { identities }) {
    if (caller === "" || identities?.includes(caller) !== true) throw unknownCaller();
  },
};

/** Refuses `PERMISSION_DENIED` for a service that is not on the method's list. */
export function checkCaller({ callers }: Pick<MethodContract, "callers">, caller: string): void {
  if (callers.length > 0 && !callers.includes(caller)) throw refuse({ reason: "PERMISSION_DENIED", code: "permission_denied" });
}

function unknownCaller(): Refusal {
  return refuse({ reason: "UNAUTHENTICATED", code: "unauthenticated", message: "No service of this house is known by that" });
}
