import pg from "pg";

/** A parameter as it is sent: a string as text, a Buffer as it is. */
export type WireValue = string | Buffer | null;

/** A value that cannot be sent, or a result that cannot be decoded: a fault of the caller or of this code, not of the database. */
export class ValueError extends Error {}

/** Parameters ready to be sent. Throws `ValueError`. */
export function encodeAll(values: readonly unknown[]): WireValue[] {
  return values.map((value, at) => {
    try {
      return encode(value);
    } catch (cause) {
      throw new ValueError(`Parameter $${at + 1} cannot be sent`, { cause });
    }
  });
}

/**
 * Encodes a parameter. Strings, numbers, booleans, bigints, Dates (UTC) and bytes go as themselves, null and
 * undefined as null, an array as a PostgreSQL array of such values (for `any($1::text[])` and `unnest`), any other object as JSON.
 * A JSON array is therefore for the caller to stringify. Throws for an invalid Date and for what JSON cannot hold.
 */
export function encode(value: unknown): WireValue {
  switch (typeof value) {
    case "string":
      return value;
    case "number":
    case "bigint":
    case "boolean":
      return String(value);
    case "undefined":
      return null;
    case "object":
      break;
    default:
      throw new TypeError(`a ${typeof value} is no parameter`);
  }
  if (value === null) return null;
  if (Buffer.isBuffer(value)) return value;
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (value instanceof Date) return encodeTime(value);
  return Array.isArray(value) ? encodeArray(value) : JSON.stringify(value);
}

function encodeTime(time: Date): string {
  const text = time.toISOString();
  // Rounding up the last moment of the year 9999 results in "+010000-01-01T…", which PostgreSQL takes for a time zone.
  return text.startsWith("+") ? text.replace(/^\+0*/, "") : text;
}

function encodeArray(values: readonly unknown[]): string {
  let text = "{";
  for (const [at, value] of values.entries()) {
    if (at > 0) text += ",";
    const encoded = Array.isArray(value) ? undefined : encode(value);
    if (encoded === undefined) text += encodeArray(value as readonly unknown[]);
    else if (encoded === null) text += "NULL";
    else if (typeof value === "number" || typeof value === "bigint") text += encoded;
    else if (typeof encoded === "string") text += `"${encoded.replace(/["\\]/g, "\\$&")}"`;
    else text += `"\\\\x${encoded.toString("hex")}"`;
  }
  return `${text}}`;
}

export type Decode = (text: string) => unknown;

const asText: Decode = (text) => text;

function decodeTime(text: string): Date | number {
  // "2026-01-31 12:00:00.123456+00": the session's zone is UTC, so this is what nearly always comes.
  if (text.length >= 22 && text.length <= 29 && text.endsWith("+00")) return new Date(`${text.slice(0, 10)}T${text.slice(11, -3)}Z`);
  return driverDecode(1184)(text) as Date | number; // infinity, years before Christ
}

const decoders = new Map<number, Decode>([
  [16, (text) => text === "t"],
  [17, (text) => Buffer.from(text.slice(2), "hex")],
  [20, BigInt],
  [21, Number],
  [23, Number],
  [26, Number],
  [114, JSON.parse],
  [700, Number],
  [701, Number],
  [1184, decodeTime],
  [3802, JSON.parse],
]);

/** Element types of the arrays that are taken apart. Others stay text. */
const elements = new Map<number, number>([
  [199, 114],
  [1000, 16],
  [1001, 17],
  [1005, 21],
  [1007, 23],
  [1009, 25],
  [1014, 1042],
  [1015, 1043],
  [1016, 20],
  [1021, 700],
  [1022, 701],
  [1185, 1184],
  [1231, 1700],
  [2951, 2950],
  [3807, 3802],
]);

/** How a column of this type is read. What is not known comes as PostgreSQL's text: numeric, date, uuid, xid8. */
export function decoderOf(type: number): Decode {
  const element = elements.get(type);
  if (element === undefined) return decoders.get(type) ?? asText;
  const split = driverDecode(1009) as (text: string) => (string | null)[];
  const decode = decoders.get(element) ?? asText;
  return (text) => split(text).map((item) => (item === null ? null : decode(item)));
}

function driverDecode(type: number): Decode {
  return pg.types.getTypeParser(type, "text") as Decode;
}
