import { createHmac, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import type { JsonWebKey } from "node:crypto";
import { createAccessTokens } from "@kontor/identity/src/access-tokens.ts";
import { createSecrets } from "@kontor/identity/src/secrets.ts";
import { masterKeyOf } from "@kontor/kontor/master-key.ts";
import { ManualClock } from "@kontor/platform/clock/clock.ts";
import { asOperator } from "./operator.ts";
import type { ShopProcess } from "./shop-process.ts";

type Part = Readonly<Record<string, unknown>>;

const encoded = (part: Part): string => Buffer.from(JSON.stringify(part)).toString("base64url");
const decoded = (part: string): Part => JSON.parse(Buffer.from(part, "base64url").toString()) as Part;

/** Tokens that are wrong in one way each, made from a good one. */
export async function badTokens(shop: ShopProcess, good: string): Promise<Readonly<Record<string, string>>> {
  const [head = "", body = "", signature = ""] = good.split(".");
  const [header, claims] = [decoded(head), decoded(body)];
  const { keys } = (await (await fetch(`${shop.api}/.well-known/jwks.json`)).json()) as { readonly keys: readonly JsonWebKey[] };
  const publicKey = createPublicKey({ key: keys[0]!, format: "jwk" });
  const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const signed = (by: Part, what: Part): string => {
    const text = `${encoded(by)}.${encoded(what)}`;
    return `${text}.${sign("sha256", Buffer.from(text), { key: stranger, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
  };
  const hmac = (secret: string | Buffer): string => {
    const text = `${encoded({ ...header, alg: "HS256" })}.${body}`;
    return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
  };
  return {
    expired: await expiredToken(shop, claims),
    "of a stranger's key": signed(header, claims),
    "of a stranger's key that it brings along": signed({ ...header, jwk: createPublicKey(stranger).export({ format: "jwk" }) }, claims),
    "that names its own key's place": signed({ ...header, jku: "https://keys.example/jwks.json" }, claims),
    "of an unknown key": signed({ ...header, kid: "another" }, claims),
    "with alg none": `${encoded({ ...header, alg: "none" })}.${body}.`,
    "with alg none and a signature": `${encoded({ ...header, alg: "none" })}.${body}.${signature}`,
    "HS256 with the public key in PEM": hmac(publicKey.export({ type: "spki", format: "pem" })),
    "HS256 with the public key in DER": hmac(publicKey.export({ type: "spki", format: "der" })),
    "HS256 with the public key as JWK": hmac(JSON.stringify(keys[0])),
    "with other claims": `${head}.${encoded({ ...claims, sub: "usr_somebody_else" })}.${signature}`,
    "without a signature": `${head}.${body}.`,
    "10 KB long": `${head}.${encoded({ ...claims, more: "x".repeat(10_000) })}.${signature}`,
    "no token at all": "garbage",
  };
}

/** One that the shop itself signed, long ago. */
async function expiredToken(shop: ShopProcess, claims: Part): Promise<string> {
  const secrets = createSecrets(await masterKeyOf(shop.environment["KONTOR_MASTER_KEY"], shop.folder));
  return asOperator(shop.environment, async ({ app }) => {
    const clock = new ManualClock(new Date(Date.now() - 3_600_000));
    const tokens = createAccessTokens({ database: app.databases.get("identity")!, clock, secrets });
    await tokens.start();
    return tokens.sign({ account: String(claims["sub"]), session: String(claims["sid"]), roles: ["admin"], verified: true }, clock.now());
  });
}
