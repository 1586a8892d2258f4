import { createHash } from "node:crypto";

/** The length of the digest that is appended where a slug alone does not say which text it was made from. */
const digestLength = 8;
const letters: Readonly<Record<string, string>> = { ß: "ss", æ: "ae", œ: "oe", ø: "o", đ: "d", ł: "l", þ: "th", ð: "d", ı: "i" };
/** What divides words or ends sentences and says nothing itself. */
const silent = /[\s\p{Pd}\p{Pi}\p{Pf}_.,;:!?¡¿'’"„()[\]/\\|&⁄·•]+/gu;

/**
 * A name as addresses contain it: "Café Crème, large" becomes "cafe-creme-large". Accents, spaces and punctuation go; where anything else was
 * dropped (鞋子, "C++", 😀, the end of a long name) or nothing is left, a digest of the full name follows. Names that differ may have the same slug:
 * who needs a unique one counts on. Never empty, at most `lengthMax` characters.
 */
export function slugOf(name: string, lengthMax = 100): string {
  const { slug, whole } = folded(name);
  return whole && slug !== "" && slug.length <= lengthMax ? slug : withDigest(slug, name, lengthMax);
}

/** The same where two texts must never have one slug, except those that differ in case only: any text but a slug itself gets the digest. */
export function distinctSlug(text: string, lengthMax: number): string {
  const lower = canonical(text);
  return /^[a-z0-9]+(-[a-z0-9]+)*$/.test(lower) && lower.length <= lengthMax ? lower : withDigest(folded(text).slug, text, lengthMax);
}

/** The beginning of a slug, and a digest of the full text that it stands for; at most `lengthMax` characters. */
export function withDigest(slug: string, text: string, lengthMax: number): string {
  const digest = createHash("sha256").update(canonical(text)).digest("hex").slice(0, digestLength);
  const beginning = slug.slice(0, lengthMax - digestLength - 1).replace(/-$/, "");
  return beginning === "" ? digest : `${beginning}-${digest}`;
}

/** One form of texts that only differ in case, or in how their accents are encoded. */
function canonical(text: string): string {
  return text.normalize("NFC").toLowerCase();
}

/** The slug without a digest, and whether all that means something is in it. */
function folded(name: string): { readonly slug: string; readonly whole: boolean } {
  const plain = name
    .normalize("NFKD")
    .replace(/[\u0300-\u036f]/g, "")
    .toLowerCase()
    .replace(/[\u0300-\u036f]/g, "") // lower-casing İ makes one
    .replace(/[ßæœøđłþðı]/g, (letter) => letters[letter]!)
    .replace(/['’]/g, "");
  const slug = plain.replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
  return { slug, whole: /^[a-z0-9]*$/.test(plain.replace(silent, "")) };
}
