import { createHmac, timingSafeEqual } from "node:crypto";
import type { MethodContract } from "../contract/contract.ts";
import { refuse } from "../errors/refusal.ts";
import type { Refusal } from "../errors/refusal.ts";

/** How a caller proves its name, and how a server checks it. */
export interface Callers {
  /** The token that `caller` sends; undefined where certificates authenticate callers. */
  token(caller: string): string | undefined;
  /**
   * Refuses with `UNAUTHENTICATED` unless the connection's certificate names the caller, or the token is the caller's. The refusal does not say which
   * is missing.
   */
  check(caller: string, shown: { readonly identities: readonly string[] | undefined; readonly token: string | undefined }): void;
}

/** Tokens derived from the installation's master key, one for each service: for plaintext connections within one machine. */
export function tokenCallers(masterKey: Uint8Array): Callers {
  const tokens = new Map<string, { readonly text: string; readonly bytes: Buffer }>();
  const tokenOf = (caller: string) => {
    let token = tokens.get(caller);
    if (token !== undefined) return token;
    const text = `Bearer ${createHmac("sha256", masterKey).update(`kontor service token ${caller}`).digest("base64url")}`;
    token = { text, bytes: Buffer.from(text) };
    // Callers claim any name they like, so the number of cached tokens is bounded.
    if (tokens.size < 1_000) tokens.set(caller, token);
    return token;
  };
  return {
    token: (caller) => tokenOf(caller).text,
    check(caller, { token }) {
      const expected = tokenOf(caller).bytes;
      const sent = Buffer.from(token ?? "");
      if (caller === "" || sent.length !== expected.length || !timingSafeEqual(sent, expected)) throw unknownCaller();
    },
  };
}

/** Certificates: the connection's must contain the caller's name. */
export const certificateCallers: Callers = {
  token: () => undefined,
  check(caller, { identities }) {
    if (caller === "" || identities?.includes(caller) !== true) throw unknownCaller();
  },
};

/** Refuses with `PERMISSION_DENIED` a service that is not on the method's list of callers. */
export function checkCaller({ callers }: Pick<MethodContract, "callers">, caller: string): void {
  if (callers.length > 0 && !callers.includes(caller)) throw refuse({ reason: "PERMISSION_DENIED", code: "permission_denied" });
}

function unknownCaller(): Refusal {
  return refuse({ reason: "UNAUTHENTICATED", code: "unauthenticated", message: "The caller is not a known service" });
}
