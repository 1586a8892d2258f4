import { ScalarType } from "@bufbuild/protobuf";
import type { DescEnum } from "@bufbuild/protobuf";
import { boundsOf, isLong } from "./element.ts";
import type { Problems } from "./problems.ts";

/** Converts one JSON value (or text) to what protobuf-es holds; notes a problem and returns undefined when it cannot. */
export type Read = (json: unknown, problems: Problems) => unknown;

/** Who wrote what is read: a client is held to the contract's letter, a server's response may use all that proto JSON writes. */
export type Source = "client" | "server";

/** What a JSON value is called in a message to a person. */
export function nameOf(json: unknown): string {
  if (json === null) return "null";
  if (Array.isArray(json)) return "a list";
  return typeof json === "object" ? "an object" : `a ${typeof json === "string" ? "text" : typeof json}`;
}

function wrong(problems: Problems, wanted: string, json: unknown): undefined {
  problems.add("WRONG_TYPE", `must be ${wanted}, not ${nameOf(json)}`);
}

/** The reader of a JSON value for a scalar. */
export function scalarReader(scalar: ScalarType, longAsString: boolean, source: Source): Read {
  switch (scalar) {
    case ScalarType.STRING:
      return (json, problems) => (typeof json === "string" ? json : wrong(problems, "a text", json));
    case ScalarType.BOOL:
      return (json, problems) => (typeof json === "boolean" ? json : wrong(problems, "true or false", json));
    case ScalarType.BYTES:
      return (json, problems) => (typeof json === "string" ? bytes(json, problems) : wrong(problems, "a text in base64", json));
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT: {
      const largest = scalar === ScalarType.FLOAT ? 3.4028235677973366e38 : Number.MAX_VALUE;
      return (json, problems) => {
        if (typeof json === "string" && source === "server" && /^(NaN|-?Infinity)$/.test(json)) return Number(json);
        if (typeof json !== "number") return wrong(problems, "a number", json);
        if (Math.abs(json) <= largest) return json;
        return problems.add("OUT_OF_RANGE", "is too large a number");
      };
    }
    default:
      return isLong(scalar) ? longReader(scalar, longAsString) : wholeReader(scalar);
  }
}

function wholeReader(scalar: ScalarType): Read {
  const [least, greatest] = numericBounds(scalar);
  return (json, problems) => {
    if (typeof json !== "number") return wrong(problems, "a whole number", json);
    if (!Number.isInteger(json)) return problems.add(Number.isFinite(json) ? "NOT_WHOLE" : "OUT_OF_RANGE", "must be a whole number");
    // Adding zero makes -0 a 0, which the binary form could not distinguish.
    if (json >= least && json <= greatest) return json + 0;
    return problems.add("OUT_OF_RANGE", `must be between ${least} and ${greatest}`);
  };
}

function longReader(scalar: ScalarType, longAsString: boolean): Read {
  const [least, greatest] = boundsOf(scalar) ?? [0n, 0n];
  return (json, problems) => {
    let value: bigint;
    if (typeof json === "string" && /^-?[0-9]{1,20}$/.test(json)) value = BigInt(json);
    else if (Number.isSafeInteger(json)) value = BigInt(json as number);
    else return wrong(problems, "a whole number as text", json);
    if (value < least || value > greatest) return problems.add("OUT_OF_RANGE", `must be between ${least} and ${greatest}`);
    return longAsString ? value.toString() : value;
  };
}

/** The reader of text from a path or a query string for a scalar. */
export function textReader(scalar: ScalarType, longAsString: boolean): Read {
  const read = scalarReader(scalar, longAsString, "client");
  if (scalar === ScalarType.STRING || scalar === ScalarType.BYTES || isLong(scalar)) return read;
  if (scalar === ScalarType.BOOL) {
    return (text, problems) => (text === "true" ? true : text === "false" ? false : problems.add("WRONG_TYPE", "must be true or false"));
  }
  return (text, problems) => {
    if (typeof text === "string" && /^-?[0-9]{1,40}(\.[0-9]{1,40})?$/.test(text)) return read(Number(text), problems);
    return problems.add("WRONG_TYPE", "must be a number");
  };
}

/** The reader of an enum's value by its name. Numbers are for servers that are newer than this one. */
export function enumReader(descriptor: DescEnum, source: Source): Read {
  const possible = source === "server" ? descriptor.values : descriptor.values.filter((value) => !isUnspecified(value));
  const numbers = new Map(possible.map((value) => [value.jsonName, value.number]));
  const known = enumNames(descriptor);
  return (json, problems) => {
    if (typeof json === "string") {
      const number = numbers.get(json);
      if (number !== undefined) return number;
      if (source === "client") return problems.add("NOT_ONE_OF", `must be one of ${known}`);
    }
    if (typeof json === "number" && source === "server") return json;
    return wrong(problems, `one of ${known}`, json);
  };
}

/** The names that a person may choose from. */
export function enumNames(descriptor: DescEnum): string {
  const names = descriptor.values.filter((value) => !isUnspecified(value)).map((value) => value.jsonName);
  return names.length > 20 ? `${names.slice(0, 20).join(", ")}, …` : names.join(", ");
}

/** Whether an enum's value means "not set". */
export function isUnspecified(value: { readonly number: number; readonly name: string }): boolean {
  return value.number === 0 && value.name.endsWith("UNSPECIFIED");
}

/** The reader of a map's key, which is text in JSON; protobuf-es holds every key as a property's name. */
export function keyReader(key: ScalarType): (text: string) => string | undefined {
  if (key === ScalarType.STRING) return (text) => (text === "__proto__" ? undefined : text);
  if (key === ScalarType.BOOL) return (text) => (text === "true" || text === "false" ? text : undefined);
  const [least, greatest] = boundsOf(key) ?? [0n, 0n];
  return (text) => {
    if (!/^(0|-?[1-9][0-9]{0,19})$/.test(text)) return undefined;
    const value = BigInt(text);
    return value >= least && value <= greatest ? text : undefined;
  };
}

function numericBounds(scalar: ScalarType): readonly [number, number] {
  const [least, greatest] = boundsOf(scalar) ?? [0n, 0n];
  return [Number(least), Number(greatest)];
}

function bytes(text: string, problems: Problems): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/]*={0,2}$|^[A-Za-z0-9_-]*={0,2}$/.test(text)) return (problems.add("FORMAT", "must be base64"), undefined);
  const digits = text.length - (text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0);
  if (digits % 4 === 1 || (digits !== text.length && text.length % 4 !== 0)) return (problems.add("FORMAT", "must be base64"), undefined);
  return new Uint8Array(Buffer.from(text, "base64"));
}
