import type { Message } from "@bufbuild/protobuf";
import { etagOf } from "./etag.ts";
import type { RestResponse, WriteResponse } from "./response-writer.ts";

/** The response to a read; its headers name the entity tag. */
export interface Representation extends RestResponse {
  /** Undefined where there is nothing that a client could cache: a redirect, for example. */
  readonly etag: string | undefined;
}

export interface RepresentationOptions {
  readonly keeps: boolean;
  /** The version that is part of the entity tag. */
  readonly versionOf?: ((message: Message) => number | undefined) | undefined;
}

export type Represent = (message: Message) => Representation;

/** Longer bodies are kept as bytes: a text is converted to bytes each time that it is sent. */
const keptCharsMax = 4_096;

/**
 * Writes the responses to a method's reads. With `keeps` the response to a message is kept for as long as the message is: a service that caches
 * its replies gives the same message, which nobody changes, for many requests.
 */
export function representationWriter(write: WriteResponse, { keeps, versionOf }: RepresentationOptions): Represent {
  const represent = (message: Message): Representation => {
    const { status, headers, body, page } = write(message);
    if (status !== 200 || body === undefined) return { status, headers, body, page, etag: undefined };
    const etag = etagOf(body, versionOf?.(message));
    return { status, headers: [...headers, "ETag", etag], body, page, etag };
  };
  if (!keeps) return represent;
  const kept = new WeakMap<Message, Representation>();
  return (message) => {
    const known = kept.get(message);
    if (known !== undefined) return known;
    const written = represent(message);
    const { body } = written;
    const lasting = typeof body === "string" && body.length > keptCharsMax ? { ...written, body: Buffer.from(body) } : written;
    kept.set(message, lasting);
    return lasting;
  };
}
