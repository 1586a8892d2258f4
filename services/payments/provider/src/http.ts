import type { IncomingMessage, ServerResponse } from "node:http";

/** Why a request fails, as its caller reads it. */
export class HttpProblem extends Error {
  readonly status: number;
  readonly code: string;
  /** The JSON path of what is wrong, when one thing is. */
  readonly field: string | undefined;

  constructor(status: number, code: string, message: string, field?: string) {
    super(message);
    this.name = "HttpProblem";
    this.status = status;
    this.code = code;
    this.field = field;
  }
}

/** A field is not as it should be. */
export function badRequest(field: string, message: string): HttpProblem {
  return new HttpProblem(400, "invalid_request", `${field} ${message}`, field);
}

export interface HttpResponse {
  readonly status: number;
  /** Flat list of names and values. */
  readonly headers: readonly string[];
  readonly body: string;
}

const jsonHeaders: readonly string[] = [
  "Content-Type",
  "application/json",
  "Cache-Control",
  "no-store",
  "X-Content-Type-Options",
  "nosniff",
];

export function jsonResponse(status: number, value: object): HttpResponse {
  return { status, headers: jsonHeaders, body: JSON.stringify(value) };
}

/** `{ "error": { "code", "message", "field" } }`; without `field` when it is no single field's fault. */
export function problemResponse({ status, code, message, field }: HttpProblem): HttpResponse {
  const { headers, body } = jsonResponse(status, { error: { code, message, field } });
  if (status === 401) return { status, headers: [...headers, "WWW-Authenticate", "Bearer"], body };
  if (status === 413) return { status, headers: [...headers, "Connection", "close"], body };
  if (status === 503) return { status, headers: [...headers, "Retry-After", "1"], body };
  return { status, headers, body };
}

export function send(response: ServerResponse, { status, headers, body }: HttpResponse): void {
  if (response.destroyed) return;
  response.writeHead(status, [...headers, "Content-Length", String(Buffer.byteLength(body))]);
  response.end(body);
}

export const bodyBytesMax = 16 * 1024;

/** The whole body as text. Refuses one that is too long as soon as that is known. */
export function readBody(request: IncomingMessage): Promise<string> {
  if (Number(request.headers["content-length"] ?? 0) > bodyBytesMax) return Promise.reject(tooLarge());
  // Its events are over: waiting for them would never end.
  if (request.destroyed) return Promise.reject(cutOff());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= bodyBytesMax) chunks.push(chunk);
      else reject(tooLarge());
    });
    request.on("end", () => resolve((chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)).toString("utf8")));
    request.on("close", () => reject(cutOff()));
    request.on("error", reject);
  });
}

/** The JSON object in a body. */
export function parseObject(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's message may quote the body.
    throw new HttpProblem(400, "invalid_request", "The body is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new HttpProblem(400, "invalid_request", "The body must be a JSON object");
  return value as Record<string, unknown>;
}

function cutOff(): HttpProblem {
  return new HttpProblem(400, "invalid_request", "The body was cut off");
}

function tooLarge(): HttpProblem {
  return new HttpProblem(413, "body_too_large", `The body may have ${bodyBytesMax} bytes at most`);
}
