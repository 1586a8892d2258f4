import { randomBytes } from "node:crypto";
import type { Clock } from "../clock/clock.ts";

const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
const timeLength = 10;
const randomLength = 16;

/** Makes ids: a prefix that says what it names and a body that sorts by time, `ord_01jd…` (80 random bits). */
export interface Ids {
  next(prefix: string): string;
}

/** Ids by this clock. Within one process they are strictly increasing even inside a millisecond. */
export function createIds(clock: Clock, random: (length: number) => Uint8Array = randomBytes): Ids {
  let lastMs = -1;
  let tail = new Uint8Array(randomLength);
  return {
    next(prefix) {
      const nowMs = Math.max(clock.now().getTime(), lastMs);
      if (nowMs > lastMs) {
        lastMs = nowMs;
        tail = random(randomLength).map((byte) => byte & 31);
        tail[0]! &= 15; // room to count up
      } else {
        for (let at = randomLength - 1; ; at--) {
          tail[at] = (tail[at]! + 1) & 31;
          if (tail[at] !== 0) break;
        }
      }
      let body = timeOf(nowMs);
      for (const value of tail) body += alphabet[value]!;
      return `${prefix}_${body}`;
    },
  };
}

/** What is not greater than any id with this prefix that is made at this time or later, and not less than all made before: for comparison. */
export function earliestId(prefix: string, at: Date): string {
  return `${prefix}_${timeOf(Math.max(at.getTime(), 0))}`;
}

function timeOf(ms: number): string {
  let text = "";
  for (let at = timeLength - 1, rest = ms; at >= 0; at--, rest = Math.floor(rest / 32)) text = alphabet[rest % 32]! + text;
  return text;
}

/** An id that is also a secret: 160 random bits, nothing else (a cart, a payment page). */
export function secretId(prefix: string): string {
  let body = "";
  for (const byte of randomBytes(32)) body += alphabet[byte & 31]!;
  return `${prefix}_${body}`;
}
