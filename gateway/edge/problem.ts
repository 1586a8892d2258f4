import { getOption, hasOption } from "@bufbuild/protobuf";
import type { DescEnum, DescFile, DescMessage, DescService } from "@bufbuild/protobuf";
import { file_kontor_api_v1_common } from "@kontor/contracts/gen/kontor/api/v1/common_pb.js";
import { refusal as refusalOption } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { httpStatusOf } from "@kontor/platform/errors/http-status.ts";
import type { Code, Refusal } from "@kontor/platform/errors/refusal.ts";

/** A reason that the contracts know, as responses explain it. */
export interface Reason {
  readonly reason: string;
  readonly code: string;
  readonly status: number;
  readonly title: string;
}

/** All reasons in the files of these services, in what those import, and the common ones. */
export function reasonsOf(services: Iterable<DescService>): ReadonlyMap<string, Reason> {
  const reasons = new Map<string, Reason>();
  const seen = new Set<string>();
  const readEnum = (description: DescEnum): void => {
    for (const value of description.values) {
      if (!hasOption(value, refusalOption)) continue;
      const { code, status, title } = getOption(value, refusalOption);
      const own = httpStatusOf[code as Code];
      if (own === undefined) throw new Error(`the reason ${value.name} has the code "${code}", which is not one of the RPC codes`);
      reasons.set(value.name, { reason: value.name, code, status: status === 0 ? own : status, title });
    }
  };
  const readMessage = (message: DescMessage): void => {
    message.nestedEnums.forEach(readEnum);
    message.nestedMessages.forEach(readMessage);
  };
  const readFile = (file: DescFile): void => {
    if (seen.has(file.name)) return;
    seen.add(file.name);
    file.enums.forEach(readEnum);
    file.messages.forEach(readMessage);
    file.dependencies.forEach(readFile);
  };
  readFile(file_kontor_api_v1_common);
  for (const { file } of services) readFile(file);
  return reasons;
}

/** A refusal as an HTTP response: RFC 9457, with the members `reason`, `errors`, `details` and `traceId` added. */
export interface Problem {
  readonly status: number;
  readonly reason: string;
  /** Flat list of names and values: Content-Type, Retry-After, WWW-Authenticate, Allow. */
  readonly headers: readonly string[];
  readonly body: string;
}

/** Where the page about a reason is. */
export const reasonPath = (reason: string): string => `/docs/errors/${reason}`;

/** What a response in any protocol says about a refusal. */
export interface Explanation {
  /** Over REST. */
  readonly status: number;
  readonly title: string;
  /** A sentence for the client. */
  readonly detail: string;
  /** Flat list of names and values: Retry-After, WWW-Authenticate, Allow. */
  readonly headers: readonly string[];
}

export function explain(refusal: Refusal, reasons: ReadonlyMap<string, Reason>, forced?: number): Explanation {
  const known = reasons.get(refusal.reason);
  // A reason's own status belongs to its code: a service that gives another code means another thing.
  const status = forced ?? (known !== undefined && known.code === refusal.code ? known.status : httpStatusOf[refusal.code]);
  const title = known?.title ?? sentence(refusal.reason);
  const headers: string[] = [];
  if (status === 401) headers.push("WWW-Authenticate", isTokenRefusal(refusal) ? invalidToken : "Bearer");
  if (refusal.retryAfterMs !== undefined || status === 429 || status === 503)
    headers.push("Retry-After", String(Math.max(1, Math.ceil((refusal.retryAfterMs ?? 1000) / 1000))));
  const allow = refusal.reason === "METHOD_NOT_ALLOWED" ? refusal.details["allow"] : undefined;
  if (Array.isArray(allow)) headers.push("Allow", allow.join(", "));
  return { status, title, detail: refusal.message === refusal.reason || refusal.code === "internal" ? title : refusal.message, headers };
}

export function problemOf(
  refusal: Refusal,
  { reasons, traceId, status: forced }: { reasons: ReadonlyMap<string, Reason>; traceId: string; status?: number },
): Problem {
  const { status, title, detail, headers } = explain(refusal, reasons, forced);
  const problem = {
    type: reasonPath(refusal.reason),
    title,
    status,
    detail,
    reason: refusal.reason,
    ...(refusal.fields.length > 0 && { errors: refusal.fields }),
    ...(Object.keys(refusal.details).length > 0 && { details: refusal.details }),
    traceId,
  };
  return {
    status,
    reason: refusal.reason,
    headers: ["Content-Type", "application/problem+json", "Cache-Control", "no-store", ...headers],
    body: JSON.stringify(problem),
  };
}

/** The `WWW-Authenticate` of a response to a request whose token is not accepted. */
export const invalidToken = 'Bearer error="invalid_token", error_description="The access token is not valid (any more)"';
const tokenRefusals = new WeakSet<Refusal>();

/** Marks a refusal as one of the token itself, so that its response tells the client to get another token. */
export function markTokenRefusal(refusal: Refusal): Refusal {
  tokenRefusals.add(refusal);
  return refusal;
}

export function isTokenRefusal(refusal: Refusal): boolean {
  return tokenRefusals.has(refusal);
}

/** OUT_OF_STOCK: "Out of stock". */
function sentence(reason: string): string {
  const words = reason.toLowerCase().replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
