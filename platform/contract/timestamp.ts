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
  const [
    ,
    year = "",
    month = "",
    day = "",
    hour = "",
    minute = "",
    second = "",
    fraction = "",
    sign,
    offsetHours = "0",
    offsetMinutes = "0",
  ] = match;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59 || Number(offsetHours) > 23 || Number(offsetMinutes) > 59)
    return undefined;
  // Date.parse would take the 30th of February for the 2nd of March.
  if (Number(day) > daysIn(Number(year), Number(month))) return undefined;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(ms)) return undefined;
  const offset = (Number(offsetHours) * 60 + Number(offsetMinutes)) * 60 * (sign === "-" ? -1 : 1);
  const seconds = ms / 1000 - offset;
  if (seconds < secondsMin || seconds > secondsMax) return undefined;
  return create(TimestampSchema, { seconds: BigInt(seconds), nanos: fraction === "" ? 0 : Number(fraction.padEnd(9, "0")) });
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** Whether a time can be written: protobuf's range, and nanoseconds below a second. */
export function isTimestamp(value: { readonly seconds: bigint; readonly nanos: number }): boolean {
  const seconds = Number(value.seconds);
  return seconds >= secondsMin && seconds <= secondsMax && Number.isInteger(value.nanos) && value.nanos >= 0 && value.nanos <= 999_999_999;
}

/** The day that was written last, "2026-01-31T": the times of a list mostly share it. */
let lastDay = Number.NaN;
let lastDayText = "";
const twoDigits = Array.from({ length: 60 }, (_, number) => String(number).padStart(2, "0"));

/** The time as RFC 3339 in UTC, with 0, 3, 6 or 9 decimals. Throws for one outside protobuf's range. */
export function timestampText(value: Timestamp): string {
  if (!isTimestamp(value)) throw new Error(`a timestamp is out of range: ${value.seconds}s ${value.nanos}ns`);
  const seconds = Number(value.seconds);
  const day = Math.floor(seconds / 86_400);
  if (day !== lastDay) {
    lastDayText = new Date(day * 86_400_000).toISOString().slice(0, 11);
    lastDay = day;
  }
  const within = seconds - day * 86_400;
  const minutes = Math.floor(within / 60);
  const whole = `${lastDayText}${twoDigits[Math.floor(minutes / 60)]}:${twoDigits[minutes % 60]}:${twoDigits[within % 60]}`;
  const { nanos } = value;
  if (nanos === 0) return `${whole}Z`;
  const digits = String(nanos + 1_000_000_000);
  return `${whole}.${digits.slice(1, nanos % 1_000_000 === 0 ? 4 : nanos % 1000 === 0 ? 7 : 10)}Z`;
}
