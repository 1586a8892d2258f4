import { exportJWK, exportPKCS8, generateKeyPair, importPKCS8, calculateJwkThumbprint, SignJWT } from "jose";
import type { CryptoKey, JWK } from "jose";
import type { Jwk } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import type { Secrets } from "./secrets.ts";

/** How long a token is good, also after its session was ended. */
export const accessTokenSeconds = 600;

export interface TokenClaims {
  readonly account: string;
  readonly session: string;
  readonly roles: readonly string[];
  readonly verified: boolean;
}

/** Signs access tokens (RFC 9068: typ `at+jwt`) with ES256, and gives the keys to check them with. */
export interface AccessTokens {
  /** Loads the keys; makes the first one. Throws when they were sealed with another master key. */
  start(): Promise<void>;
  /** A token that was issued at this time: the same claims again for the same time. */
  sign(claims: TokenClaims, at: Date): Promise<string>;
  publicKeys(): readonly Omit<Jwk, "$typeName" | "$unknown">[];
}

interface KeyRow {
  readonly kid: string;
  readonly public_jwk: JWK;
  readonly sealed_private_key: Buffer;
}

export function createAccessTokens({
  database,
  clock,
  secrets,
}: Pick<ServiceContext, "database" | "clock"> & { readonly secrets: Secrets }): AccessTokens {
  let signing: { readonly kid: string; readonly key: CryptoKey } | undefined;
  let rows: readonly KeyRow[] = [];

  const load = () => database.rows<KeyRow>(sql`select kid, public_jwk, sealed_private_key from signing_keys order by created_at desc, kid`);
  return {
    start: async () => {
      rows = await load();
      if (rows.length === 0) {
        await insertFirstKey({ database, clock, secrets });
        rows = await load();
      }
      const { kid, sealed_private_key } = rows[0]!;
      signing = { kid, key: await importPKCS8(opened(secrets, sealed_private_key), "ES256") };
    },
    sign: ({ account, session, roles, verified }, at) => {
      if (signing === undefined) throw new Error("the signing keys are not loaded");
      const issuedAt = Math.floor(at.getTime() / 1000);
      return new SignJWT({ sid: session, roles: [...roles], ver: verified })
        .setProtectedHeader({ alg: "ES256", typ: "at+jwt", kid: signing.kid })
        .setIssuer("kontor")
        .setAudience("kontor")
        .setSubject(account)
        .setIssuedAt(issuedAt)
        .setNotBefore(issuedAt)
        .setExpirationTime(issuedAt + accessTokenSeconds)
        .sign(signing.key);
    },
    publicKeys: () =>
      rows.map(({ kid, public_jwk: { kty = "", crv = "", x = "", y = "" } }) => ({ kty, crv, x, y, kid, alg: "ES256", use: "sig" })),
  };
}

/** Of several processes that start on an empty database one makes the key: the others would sign with one that the first does not know. */
async function insertFirstKey({
  database,
  clock,
  secrets,
}: Pick<ServiceContext, "database" | "clock"> & { readonly secrets: Secrets }): Promise<void> {
  const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  const sealed = secrets.seal(Buffer.from(await exportPKCS8(privateKey)));
  await database.transaction(async (tx) => {
    await tx.run(sql`lock table signing_keys in share row exclusive mode`);
    await tx.run(sql`insert into signing_keys (kid, public_jwk, sealed_private_key, created_at)
      select ${kid}, ${JSON.stringify(jwk)}::jsonb, ${sealed}, ${clock.now()} where not exists (select from signing_keys)`);
  });
}

function opened(secrets: Secrets, sealed: Uint8Array): string {
  try {
    return secrets.unseal(sealed).toString();
  } catch (cause) {
    throw new Error("The keys that sign access tokens cannot be opened: they were sealed with another KONTOR_MASTER_KEY", { cause });
  }
}
