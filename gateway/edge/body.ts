import { isUtf8 } from "node:buffer";
import type { IncomingMessage } from "node:http";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Refusal } from "@kontor/platform/errors/refusal.ts";
import type { BodyBudget } from "./body-budget.ts";
import type { Exchange } from "./exchange.ts";
import { whereJsonBreaks } from "./json-position.ts";

/** How much of a body that nobody will read is let pass, so that a client gets its response before the connection is cut. */
const discardBytesMax = 16 * 1024 * 1024;
const discardMsMax = 1000;

/** Whether a body was announced. */
export function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers["content-length"];
  return headers["transfer-encoding"] !== undefined || (length !== undefined && length !== "0");
}

/** Refuses a body where the contract knows none: `INVALID_REQUEST`. */
export function requireNoBody(request: IncomingMessage): void {
  if (!hasBody(request)) return;
  const message = "This route takes no body";
  throw refuse({
    reason: "INVALID_REQUEST",
    code: "invalid_argument",
    message,
    fields: [{ field: "$", reason: "UNKNOWN_FIELD", message }],
  });
}

/** Reads bodies, within the memory that all of them may occupy together. */
export class BodyReader {
  readonly #bytesMax: number;
  readonly #budget: BodyBudget;

  constructor({ bytesMax, budget }: { readonly bytesMax: number; readonly budget: BodyBudget }) {
    this.#bytesMax = bytesMax;
    this.#budget = budget;
  }

  /**
   * Reads the whole body; undefined at once when none was sent. Its memory stays reserved until `release`. Refuses what `check` refuses, at once,
   * before a byte is read; `BODY_TOO_LARGE` as soon as the body is known to be too long; and `OVERLOADED` when there is no memory for it.
   */
  read({ request, response }: Exchange, check: (request: IncomingMessage) => void): Promise<Buffer> | undefined {
    if (!hasBody(request)) return undefined;
    check(request);
    if (request.headers.expect?.toLowerCase() === "100-continue") response.writeContinue();
    return readBody(request, { bytesMax: this.#bytesMax, budget: this.#budget });
  }

  release(body: Buffer | undefined): void {
    if (body !== undefined) this.#budget.release(body.length);
  }
}

function readBody(request: IncomingMessage, { bytesMax, budget }: { bytesMax: number; budget: BodyBudget }): Promise<Buffer> {
  if (Number(request.headers["content-length"] ?? 0) > bytesMax) return Promise.reject(tooLarge(bytesMax));
  return new Promise((resolve, reject) => {
    let bytes: Buffer = nothing;
    let size = 0;
    const stopListening = (): void => void request.off("data", onData).off("end", onEnd).off("close", onCut).off("error", onCut);
    const fail = (error: unknown): void => {
      stopListening();
      budget.release(size);
      reject(error);
    };
    const onData = (chunk: Buffer): void => {
      if (size + chunk.length > bytesMax) return fail(tooLarge(bytesMax));
      try {
        budget.reserve(chunk.length);
      } catch (error) {
        return fail(error);
      }
      bytes = appended(bytes, size, chunk, bytesMax);
      size += chunk.length;
    };
    const onEnd = (): void => {
      stopListening();
      resolve(bytes.subarray(0, size));
    };
    const onCut = (): void => fail(refuse({ reason: "INVALID_REQUEST", code: "invalid_argument", message: "The body was cut off" }));
    request.on("data", onData).on("end", onEnd).on("close", onCut).on("error", onCut);
  });
}

const nothing = Buffer.alloc(0);

/** The first `size` of the bytes and then the chunk, in one piece: many small chunks would occupy many times what they hold. */
function appended(bytes: Buffer, size: number, chunk: Buffer, bytesMax: number): Buffer {
  if (size === 0) return chunk;
  const needed = size + chunk.length;
  // The first chunk is the connection's memory and is not written to.
  const grown = needed <= bytes.length ? bytes : Buffer.allocUnsafe(Math.min(bytesMax, needed * 2));
  if (grown !== bytes) bytes.copy(grown, 0, 0, size);
  chunk.copy(grown, size);
  return grown;
}

/** Discards the rest of a body, for a bounded time and size; then the connection is cut. */
export function discardBody(request: IncomingMessage): void {
  if (request.complete || request.destroyed) return;
  let rest = discardBytesMax;
  const cut = (): void => void request.socket.destroy();
  const timer = setTimeout(cut, discardMsMax);
  const over = (): void => clearTimeout(timer);
  request
    .on("data", (chunk: Buffer) => {
      rest -= chunk.length;
      if (rest < 0) cut();
    })
    .on("end", over)
    .on("close", over)
    .on("error", over)
    .resume();
}

/** Refuses a body that is not plain `application/json`: 415. */
export function requireJson(request: IncomingMessage): void {
  const type = request.headers["content-type"];
  let count = 0;
  for (let at = 0; at < request.rawHeaders.length; at += 2) if (request.rawHeaders[at]!.toLowerCase() === "content-type") count++;
  if (count > 1) throw mediaType("Content-Type was sent more than once");
  if (type === undefined || (type !== "application/json" && !jsonType.test(type))) throw mediaType("Send the body as application/json");
  requireIdentity(request);
}

/** Refuses a compressed body: what it grows to is not known before it has grown. */
export function requireIdentity({ headers }: IncomingMessage): void {
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") throw mediaType("Send the body without Content-Encoding");
}

const jsonType = /^application\/json[ \t]*(?:;[ \t]*charset="?utf-8"?[ \t]*)?$/i;

/** The JSON in a body; undefined for an empty one. Refuses `INVALID_REQUEST` with the position where it breaks. */
export function parseJson(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined;
  if (!isUtf8(bytes)) throw malformed("The body is not UTF-8");
  const text = bytes.toString("utf8");
  try {
    return JSON.parse(text);
  } catch {
    // V8's message may quote the body, passwords included; the position is enough.
    const { line, column } = whereJsonBreaks(text);
    throw malformed(`The body is not JSON: it breaks at line ${line}, column ${column}`);
  }
}

function malformed(message: string): Refusal {
  return refuse({
    reason: "INVALID_REQUEST",
    code: "invalid_argument",
    message,
    fields: [{ field: "$", reason: "MALFORMED_JSON", message }],
  });
}

function mediaType(message: string): Refusal {
  return refuse({ reason: "UNSUPPORTED_MEDIA_TYPE", code: "invalid_argument", message });
}

function tooLarge(bytesMax: number): Refusal {
  return refuse({
    reason: "BODY_TOO_LARGE",
    code: "invalid_argument",
    message: `The body may have ${bytesMax} bytes at most`,
    details: { bytesMax },
  });
}
