import type { ServerResponse } from "node:http";
import type { Message } from "@bufbuild/protobuf";
import type { MethodContract } from "../../contract/contract.ts";
import type { Refusal } from "../../errors/refusal.ts";
import { endEnvelope } from "./envelope.ts";
import { connectStatusOf, errorJson } from "./error.ts";
import { bodyFormatOf, streamTypes, unaryTypes } from "./media-type.ts";
import type { Encoding } from "./media-type.ts";
import { messageCodec } from "./message-codec.ts";
import { ProtocolError } from "./protocol-error.ts";

/** A whole response, but for the length of its body. */
export interface ConnectResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

/** The response of a unary method. */
export function messageResponse({ method }: MethodContract, encoding: Encoding, message: Message): ConnectResponse {
  return { status: 200, headers: unaryHeaders[encoding], body: messageCodec(method.output, encoding).encode(message) };
}

/**
 * The response of a call that failed before its response began: an error in JSON, or, where the request's content type asks for a stream, a stream
 * that ends at once. `error` is what was thrown, `refusal` what the caller learns of it.
 */
export function errorResponse(error: unknown, refusal: Refusal, contentType: string | undefined): ConnectResponse {
  const { status, headers } = error instanceof ProtocolError ? error : noOverride;
  const format = bodyFormatOf(contentType);
  if (format?.streams === true && status === undefined)
    return { status: 200, headers: { ...headers, ...streamHeaders[format.encoding] }, body: endEnvelope(refusal) };
  return {
    status: status ?? connectStatusOf[refusal.code],
    headers: { ...headers, ...unaryHeaders.json },
    body: JSON.stringify(errorJson(refusal)),
  };
}

/** Writes an envelope of a stream. Resolves when more can be written, or never will be; undefined when that is now. */
export function writeEnvelope(response: ServerResponse, envelope: Buffer): Promise<void> | undefined {
  if (response.write(envelope) || response.destroyed) return undefined;
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.on("drain", done).on("close", done);
  });
}

const noOverride = { status: undefined, headers: {} } as const;
const unaryHeaders = { json: { "content-type": unaryTypes.json }, proto: { "content-type": unaryTypes.proto } } as const;

/** The headers of a stream's response, whose status is always 200. */
export const streamHeaders = { json: { "content-type": streamTypes.json }, proto: { "content-type": streamTypes.proto } } as const;
