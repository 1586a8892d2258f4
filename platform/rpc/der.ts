import { isIPv4, isIPv6 } from "node:net";

/** ASN.1 values in their one binary form (DER), as far as a certificate needs them. Each is tag, length and content. */
export type Der = Buffer;

function der(tag: number, ...content: readonly Uint8Array[]): Der {
  const body = Buffer.concat(content);
  if (body.length < 0x80) return Buffer.concat([Buffer.of(tag, body.length), body]);
  const hex = body.length.toString(16);
  const length = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
  return Buffer.concat([Buffer.of(tag, 0x80 | length.length), length, body]);
}

export const sequence = (...values: readonly Der[]): Der => der(0x30, ...values);
export const set = (...values: readonly Der[]): Der => der(0x31, ...values);
export const truth: Der = der(0x01, Buffer.of(0xff));
export const utf8 = (text: string): Der => der(0x0c, Buffer.from(text));
export const octets = (content: Uint8Array): Der => der(0x04, content);

/** A value under a number that stands for a meaning: [3] of the certificate are its extensions. */
export const tagged = (number: number, value: Der): Der => der(0xa0 | number, value);
/** The same for text and bytes, whose own tag is left out. */
export const taggedContent = (number: number, content: Uint8Array): Der => der(0x80 | number, content);

/** A number that is not negative, in bytes with the highest first. */
export function integer(bytes: Uint8Array): Der {
  let from = 0;
  while (from < bytes.length - 1 && bytes[from] === 0) from++;
  const shortest = bytes.subarray(from);
  // The highest bit is the sign.
  return der(0x02, (shortest[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), shortest]) : shortest);
}

/** Whole bytes, or bits that are named by their number: bit 0 is the highest one of the first byte. */
export const bits = (content: Uint8Array): Der => der(0x03, Buffer.of(0), content);
export function namedBits(...numbers: readonly number[]): Der {
  const highest = Math.max(...numbers);
  const content = Buffer.alloc((highest >> 3) + 1);
  for (const number of numbers) content[number >> 3]! |= 0x80 >> (number & 7);
  return der(0x03, Buffer.of(7 - (highest & 7)), content);
}

/** The name of an algorithm, an attribute or an extension, such as "2.5.29.17". */
export function oid(dotted: string): Der {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((number) => {
    const groups = [number & 0x7f];
    for (let left = number >>> 7; left > 0; left >>>= 7) groups.unshift(0x80 | (left & 0x7f));
    return groups;
  });
  return der(0x06, Buffer.from(bytes));
}

/** A time to the second. Years from 2050 on have four digits and a tag of their own. */
export function time(at: Date): Der {
  const digits = `${at
    .toISOString()
    .replace(/\.\d+Z$/, "")
    .replaceAll(/\D/g, "")}Z`;
  return at.getUTCFullYear() < 2050 ? der(0x17, Buffer.from(digits.slice(2))) : der(0x18, Buffer.from(digits));
}

/** The bytes of an IP address; undefined for what is none. */
export function addressBytes(text: string): Buffer | undefined {
  if (isIPv4(text)) return Buffer.from(text.split(".").map(Number));
  if (!isIPv6(text) || text.includes("%")) return undefined;
  // As a URL spells it: in hexadecimal groups alone, also where it ends like an IPv4 address.
  const [head = "", tail] = new URL(`http://[${text}]`).hostname.slice(1, -1).split("::");
  const groups = (part: string | undefined) =>
    part === undefined || part === "" ? [] : part.split(":").map((group) => parseInt(group, 16));
  const [left, right] = [groups(head), groups(tail)];
  const all = [...left, ...Array.from({ length: 8 - left.length - right.length }, () => 0), ...right];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}
