import { hash } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import type { DescMessage, DescMethodUnary, Message } from "@bufbuild/protobuf";
import { refuse } from "../errors/refusal.ts";
import type { Call } from "./call.ts";
import { ResourceKey } from "./resource-key.ts";

/** What a key looks like, as a regular expression. */
export const keyPattern = "^[!-~]{1,255}$";
const keyForm = new RegExp(keyPattern);

/** An `Idempotency-Key` as a client sent it. Refuses with INVALID_REQUEST unless it is 1 to 255 visible ASCII characters. */
export function checkIdempotencyKey(sent: unknown): string {
  if (typeof sent === "string" && keyForm.test(sent)) return sent;
  const message = "must be 1 to 255 visible ASCII characters";
  throw refuse({
    reason: "INVALID_REQUEST",
    code: "invalid_argument",
    message: `Idempotency-Key ${message}`,
    fields: [{ field: "Idempotency-Key", reason: "FORMAT", message }],
  });
}

export interface KeyOptions {
  readonly call: Call;
  /** Whose key it is: the signed-in user, else the calling service, unless said otherwise (a guest's hashed cart id). */
  readonly scope?: string | undefined;
  readonly method: DescMethodUnary;
}

/** The name under which a reply is stored: a digest of scope, method and the caller's key. Undefined without one. */
export function idempotencyKeyOf({ call, scope, method }: KeyOptions): string | undefined {
  if (call.idempotencyKey === undefined) return undefined;
  const parts = [scope ?? call.user?.id ?? call.caller, `${method.parent.typeName}.${method.name}`, call.idempotencyKey];
  return hash("sha256", JSON.stringify(parts), "base64url");
}

/** Tells requests apart: the same key with another fingerprint is a mistake of the caller's. */
export function fingerprintOf(input: DescMessage, request: Message): Buffer {
  return hash("sha256", toBinary(input, request), "buffer");
}

/** The call's key for a change of one resource, which stores it. */
export function resourceKeyOf(options: KeyOptions & { readonly request: Message }): ResourceKey {
  const key = idempotencyKeyOf(options);
  if (key === undefined) return ResourceKey.none;
  return new ResourceKey({
    key: shortened(key),
    request: shortened(fingerprintOf(options.method.input, options.request).toString("base64url")),
  });
}

/** 132 bits are enough to tell one resource's keys apart. */
const shortened = (digest: string): string => digest.slice(0, 22);
