import { create } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { Timestamp } from "@bufbuild/protobuf/wkt";

const form = /^([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))$/;
/** 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, the ends of protobuf's time. */
export const secondsMin = -62135596800;
export const secondsMax = 253402300799;

/** Reads an RFC 3339 time; undefined for what is none, as the 30th of February. */
export function timestampFromText(text: string): Timestamp | undefined {
  if (text.length > 40) return undefined;
  const match = form.exec(text);
  if (match === null) return undefined;
  const [, year = "", month = "", day = "", hour = "", minute = "", second = "", fraction = "", sign, offsetHours = "0", offsetMinutes = "0"] = match;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59 || Number(offsetHours) > 23 || Number(offsetMinutes) > 59) return undefined;
  const local = `${year}-${month}-${day}T${hour}:${minute}:${second}`;
  const ms = Date.parse(`${local}Z`);
  // A day that the month does not have is refused by Date.parse, or moved into the next month.
  if (Number.isNaN(ms) || !new Date(ms).toISOString().startsWith(local)) return undefined;
  const offset = (Number(offsetHours) * 60 + Number(offsetMinutes)) * 60 * (sign === "-" ? -1 : 1);
  const seconds = ms / 1000 - offset;
  if (seconds < secondsMin || seconds > secondsMax) return undefined;
  return create(TimestampSchema, { seconds: BigInt(seconds), nanos: fraction === "" ? 0 : Number(fraction.padEnd(9, "0")) });
}

/** Whether a time can be written: protobuf's range, and nanoseconds below a second. */
export function isTimestamp(value: { readonly seconds: bigint; readonly nanos: number }): boolean {
  return (
    value.seconds >= secondsMin && value.seconds <= secondsMax && Number.isInteger(value.nanos) && value.nanos >= 0 && value.nanos <= 999_999_999
  );
}

/** The time as RFC 3339 in UTC, with 0, 3, 6 or 9 decimals. Throws for one outside protobuf's range. */
export function timestampText(value: Timestamp): string {
  if (!isTimestamp(value)) throw new Error(`a timestamp is out of range: ${value.seconds}s ${value.nanos}ns`);
  const whole = new Date(Number(value.seconds) * 1000).toISOString().slice(0, 19);
  const { nanos } = value;
  if (nanos === 0) return `${whole}Z`;
  const digits = String(nanos + 1_000_000_000);
  return `${whole}.${digits.slice(1, nanos % 1_000_000 === 0 ? 4 : nanos % 1000 === 0 ? 7 : 10)}Z`;
}
