import { hash } from "node:crypto";

const lengthMax = 100;
const digestLength = 8;
const letters: Readonly<Record<string, string>> = { ß: "ss", æ: "ae", œ: "oe", ø: "o", đ: "d", ł: "l", þ: "th", ð: "d", ı: "i" };

/**
 * A name as addresses contain it: "Café Crème, large" becomes "cafe-creme-large". Letters that are not allowed there (鞋子) are replaced by a
 * digest, so that names which differ in them only remain different. Never empty.
 */
export function slugOf(name: string): string {
  const plain = name
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[ßæœøđłþðı]/g, (letter) => letters[letter]!)
    .replace(/['’]/g, "");
  const digest = /[^a-z0-9\P{L}]|[^0-9\P{N}]/u.test(plain) ? hash("sha256", plain, "hex").slice(0, digestLength) : "";
  const slug = plain
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-/, "")
    .slice(0, lengthMax - digest.length - 1)
    .replace(/-$/, "");
  return [slug, digest].filter((text) => text !== "").join("-") || "x";
}
