import type { MethodContract } from "../../contract/contract.ts";
import { refuse } from "../../errors/refusal.ts";
import { onlyEnvelope } from "./envelope.ts";
import { bodyFormatOf, streamTypes, unaryTypes } from "./media-type.ts";
import type { Encoding } from "./media-type.ts";
import { ProtocolError } from "./protocol-error.ts";

/** What the head of a request says. */
export interface ConnectHead {
  readonly encoding: Encoding;
  /** What is left of the call's time; undefined when the caller sets no limit. */
  readonly timeoutMs: number | undefined;
}

export type Header = (name: string) => string | undefined;

/** The path of a method. */
export function connectPath({ service, method }: Pick<MethodContract, "service" | "method">): string {
  return `/${service.typeName}/${method.name}`;
}

/**
 * Reads the head of a request for a method. Throws `ProtocolError` for another verb than POST, a content type that does not fit the method, an
 * unknown version of the protocol, a compressed body and a time-out that is not a number.
 */
export function readHead(method: Pick<MethodContract, "streams">, verb: string | undefined, header: Header): ConnectHead {
  if (verb !== "POST")
    throw new ProtocolError({ reason: "METHOD_NOT_ALLOWED", code: "unimplemented", status: 405, headers: { allow: "POST" } });
  const format = bodyFormatOf(header("content-type"));
  if (format?.streams !== method.streams) throw wrongMediaType(method);
  const version = header("connect-protocol-version");
  if (version !== undefined && version !== "1") throw invalid("connect-protocol-version must be 1");
  const compression = header(method.streams ? "connect-content-encoding" : "content-encoding");
  if (compression !== undefined && compression !== "identity") throw unknownCompression(method, compression);
  return { encoding: format.encoding, timeoutMs: timeoutIn(header("connect-timeout-ms")) };
}

/** The bytes of the request's message in a body. Refuses a stream's body that is not exactly one envelope. */
export function messageBytes({ streams }: Pick<MethodContract, "streams">, body: Buffer): Buffer {
  if (!streams) return body;
  const envelope = onlyEnvelope(body);
  if (envelope === undefined || envelope.end) throw invalid("The body must be one message in an envelope");
  if (envelope.compressed)
    throw refuse({ reason: "INTERNAL_ERROR", code: "internal", message: "A compressed message without a compression" });
  return envelope.body;
}

function timeoutIn(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[0-9]{1,10}$/.test(text)) throw invalid("connect-timeout-ms must be a whole number of at most 10 digits");
  return Number(text);
}

function invalid(message: string): ProtocolError {
  return new ProtocolError({ reason: "INVALID_REQUEST", code: "invalid_argument", message });
}

function wrongMediaType({ streams }: Pick<MethodContract, "streams">): ProtocolError {
  const types = Object.values(streams ? streamTypes : unaryTypes).join(", ");
  return new ProtocolError({
    reason: "UNSUPPORTED_MEDIA_TYPE",
    code: "invalid_argument",
    message: `The content type must be one of ${types}`,
    status: 415,
    headers: { "accept-post": types },
  });
}

function unknownCompression({ streams }: Pick<MethodContract, "streams">, compression: string): ProtocolError {
  return new ProtocolError({
    reason: "UNSUPPORTED_COMPRESSION",
    code: "unimplemented",
    message: `Compression "${compression}" is not supported; send identity`,
    headers: { [streams ? "connect-accept-encoding" : "accept-encoding"]: "identity" },
  });
}
