import { errors, importJWK, jwtVerify } from "jose";
import type { CryptoKey, JWTPayload } from "jose";
import type { Clock } from "@kontor/platform/clock/clock.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Refusal } from "@kontor/platform/errors/refusal.ts";
import type { User } from "@kontor/platform/call/call.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { createKeyRing } from "./key-ring.ts";
import { markTokenRefusal } from "./problem.ts";

/** A public key of the issuer, the identity service, as a JSON Web Key. */
export interface PublicKey {
  readonly kty: string;
  readonly crv: string;
  readonly x: string;
  readonly y: string;
  readonly kid: string;
}

export interface TokenOptions {
  /** The issuer's current keys. Fetched again for an unknown key id, and every few minutes. */
  readonly keys: () => Promise<readonly PublicKey[]>;
  readonly clock: Clock;
  readonly log: Logger;
  /** The monotonic clock. */
  readonly nowMs?: () => number;
}

/** A token with a valid signature and claims. Its session may have ended. */
export interface Verified {
  readonly user: User;
  readonly expiresMs: number;
}

export interface Tokens {
  /**
   * The user of an access token: synchronously for one that was verified before. Refuses `UNAUTHENTICATED`, always in the same words, and
   * `DEPENDENCY_UNAVAILABLE` when the keys cannot be fetched.
   */
  verify(token: string): Verified | Promise<Verified>;
}

const issuer = "kontor";
/** The services that take the tokens are the issuer's own. */
const audience = issuer;
/** How much clocks may differ. */
export const skewSeconds = 60;
const tokenLengthMax = 4096;
/** Two generations of this many are remembered. */
const verifiedMax = 10_000;

/** Verifies access tokens (RFC 9068 in its strictest reading), each once until it expires. */
export function createTokens({ keys, clock, log, nowMs }: TokenOptions): Tokens {
  const ring = createKeyRing({ fetch: async () => importAll(await keys()), log, ...(nowMs && { nowMs }) });
  let young = new Map<string, Verified>();
  let old = new Map<string, Verified>();

  function remember(token: string, verified: Verified): void {
    if (young.size >= verifiedMax) {
      old = young;
      young = new Map();
    }
    young.set(token, verified);
  }

  function known(token: string): Verified | undefined {
    const verified = young.get(token);
    if (verified !== undefined) return verified;
    const elder = old.get(token);
    if (elder !== undefined) remember(token, elder);
    return elder;
  }

  async function check(token: string): Promise<Verified> {
    const kid = keyIdIn(token);
    const key = await ring.key(kid);
    if (key === undefined) throw tokenRejected();
    const now = clock.now();
    const payload = await signedPayload(token, key, now);
    const verified: Verified = { user: userIn(payload), expiresMs: payload.exp! * 1000 };
    remember(token, verified);
    return verified;
  }

  return {
    verify(token) {
      const verified = known(token);
      if (verified === undefined) return check(token);
      if (clock.now().getTime() < verified.expiresMs + skewSeconds * 1000) return verified;
      young.delete(token);
      old.delete(token);
      throw tokenRejected();
    },
  };
}

async function importAll(keys: readonly PublicKey[]): Promise<ReadonlyMap<string, CryptoKey>> {
  const imported = new Map<string, CryptoKey>();
  for (const { kty, crv, x, y, kid } of keys) {
    if (kty !== "EC" || crv !== "P-256" || kid === "") continue; // a key for something else
    const key = await importJWK({ kty, crv, x, y }, "ES256");
    if (!(key instanceof Uint8Array)) imported.set(kid, key);
  }
  return imported;
}

/** The key id in a token's header. Refuses any header but { alg: ES256, typ: at+jwt, kid }: none may point to another key. */
function keyIdIn(token: string): string {
  if (token.length > tokenLengthMax) throw tokenRejected();
  const parts = tokenForm.exec(token);
  if (parts === null) throw tokenRejected();
  const header = canonicalObject(parts[1]!);
  const { alg, typ, kid, ...others } = header;
  if (alg !== "ES256" || typ !== "at+jwt" || typeof kid !== "string" || Object.keys(others).length > 0) throw tokenRejected();
  canonicalObject(parts[2]!);
  return kid;
}

const tokenForm = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+$/;

/** Reads an object written exactly as `JSON.stringify` writes it, which is how the issuer does: a repeated claim cannot be. */
function canonicalObject(part: string): Record<string, unknown> {
  const text = Buffer.from(part, "base64url").toString("utf8");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw tokenRejected(); // an invalid token, not a fault
  }
  if (typeof value !== "object" || value === null || Array.isArray(value) || JSON.stringify(value) !== text) throw tokenRejected();
  return value as Record<string, unknown>;
}

async function signedPayload(token: string, key: CryptoKey, now: Date): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: ["ES256"],
      typ: "at+jwt",
      issuer,
      audience,
      clockTolerance: skewSeconds,
      currentDate: now,
      requiredClaims: ["exp", "sub"],
    });
    return payload;
  } catch (error) {
    if (error instanceof errors.JOSEError) throw tokenRejected();
    throw error;
  }
}

function userIn({ sub, sid, roles, ver, aud, exp }: JWTPayload): User {
  const fits =
    typeof sub === "string" &&
    sub.startsWith("usr_") &&
    typeof sid === "string" &&
    sid.startsWith("ses_") &&
    typeof ver === "boolean" &&
    aud === audience &&
    typeof exp === "number";
  if (!fits || !Array.isArray(roles) || !roles.every((role) => typeof role === "string")) throw tokenRejected();
  return { id: sub, session: sid, roles: Object.freeze(roles), verified: ver };
}

/** Every invalid token is refused in the same words. */
export function tokenRejected(): Refusal {
  return markTokenRefusal(
    refuse({ reason: "UNAUTHENTICATED", code: "unauthenticated", message: "The access token is not valid (any more)" }),
  );
}
