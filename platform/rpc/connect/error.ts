import { fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { ProblemSchema } from "@kontor/contracts/gen/kontor/rpc/v1/problem_pb.js";
import { httpStatusOf } from "../../errors/http-status.ts";
import type { Code, Refusal } from "../../errors/refusal.ts";
import { problemOf, refusalOf } from "../wire-problem.ts";

/** The HTTP status that the protocol has for each code of a unary call's error. */
export const connectStatusOf: Readonly<Record<Code, number>> = { ...httpStatusOf, failed_precondition: 400 };

/** The code of a response that is not in the protocol's form: a proxy's, for example. */
const codeOfStatus: Readonly<Record<number, string>> = {
  400: "internal",
  401: "unauthenticated",
  403: "permission_denied",
  404: "unimplemented",
  429: "unavailable",
  502: "unavailable",
  503: "unavailable",
  504: "unavailable",
};

/** An error as the protocol writes it in JSON. */
interface ErrorJson {
  readonly code: string;
  readonly message?: string;
  readonly details?: readonly { readonly type: string; readonly value: string; readonly debug?: unknown }[];
}

/** What an error says: the refusal in it when it came from a server of this project. */
export interface ConnectError {
  /** One of the protocol's 16 codes: "unavailable". */
  readonly code: string;
  readonly message: string;
  readonly refusal: Refusal | undefined;
}

/** A refusal as an error: with a `kontor.rpc.v1.Problem` as its detail. */
export function errorJson(refusal: Refusal): ErrorJson {
  const problem = problemOf(refusal);
  const value = Buffer.from(toBinary(ProblemSchema, problem)).toString("base64").replace(/=+$/, "");
  const { code, message } = refusal;
  return { code, message, details: [{ type: ProblemSchema.typeName, value, debug: toJson(ProblemSchema, problem) }] };
}

/** The error in the JSON of an error response or of a stream's end. `status` decides when it is none. */
export function readError(json: unknown, status: number): ConnectError {
  if (!isErrorJson(json)) return { code: codeOfStatus[status] ?? "unknown", message: `HTTP status ${status}`, refusal: undefined };
  const { code, message = "", details } = json;
  return { code, message, refusal: Array.isArray(details) ? refusalIn(code, details) : undefined };
}

function isErrorJson(json: unknown): json is ErrorJson {
  if (typeof json !== "object" || json === null) return false;
  const { code, message } = json as { readonly [K in keyof ErrorJson]: unknown };
  return typeof code === "string" && (message === undefined || typeof message === "string");
}

function refusalIn(code: string, details: readonly unknown[]): Refusal | undefined {
  if (!Object.hasOwn(connectStatusOf, code)) return undefined;
  for (const detail of details) {
    if (typeof detail !== "object" || detail === null) continue;
    const { type, value } = detail as { readonly type?: unknown; readonly value?: unknown };
    if (type !== ProblemSchema.typeName || typeof value !== "string") continue;
    try {
      return refusalOf(code as Code, fromBinary(ProblemSchema, Buffer.from(value, "base64")));
    } catch {
      return undefined; // a detail by this name that is something else: the code and the message remain
    }
  }
  return undefined;
}
