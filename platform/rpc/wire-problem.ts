import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { JsonObject } from "@bufbuild/protobuf";
import { anyPack, anyUnpack } from "@bufbuild/protobuf/wkt";
import { ProblemSchema, StatusSchema } from "@kontor/contracts/gen/kontor/rpc/v1/problem_pb.js";
import type { Problem } from "@kontor/contracts/gen/kontor/rpc/v1/problem_pb.js";
import { refuse } from "../errors/refusal.ts";
import type { Code, Refusal } from "../errors/refusal.ts";

/** The numbers of gRPC's status codes. */
export const statusOf: Readonly<Record<Code, number>> = {
  invalid_argument: 3,
  deadline_exceeded: 4,
  not_found: 5,
  already_exists: 6,
  permission_denied: 7,
  resource_exhausted: 8,
  failed_precondition: 9,
  aborted: 10,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
};

const codes = new Map(Object.entries(statusOf).map(([code, status]) => [status, code as Code]));

/** Over gRPC it travels in a header, and those of one response may hold 64 KB, base64 included. */
const problemBytesMax = 16 * 1024;
const messageLengthMax = 2_000;

/** A refusal as the message that is its typed detail on every wire: all of it but its code and its cause. */
export function problemOf({ reason, message, details, fields, retryAfterMs }: Refusal): Problem {
  return create(ProblemSchema, {
    reason,
    message,
    fields: [...fields],
    // Refusals hold JSON only, by contract.
    ...(Object.keys(details).length > 0 && { details: details as JsonObject }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

/** The refusal that a status code and its detail say. */
export function refusalOf(code: Code, { reason, message, details, fields, retryAfterMs }: Problem): Refusal {
  return refuse({
    reason,
    code,
    message,
    ...(details !== undefined && { details }),
    fields: fields.map(({ field, reason: why, message: about }) => ({ field, reason: why, message: about })),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

/** A refusal as google.rpc.Status with a Problem in its details. Of one that is too long for a header the last fields are left out. */
export function encodeRefusal(refusal: Refusal): Uint8Array {
  const problem = problemOf(refusal);
  problem.message = problem.message.slice(0, messageLengthMax);
  const { message } = problem;
  const status = () =>
    toBinary(StatusSchema, create(StatusSchema, { code: statusOf[refusal.code], message, details: [anyPack(ProblemSchema, problem)] }));
  let bytes = status();
  while (bytes.length > problemBytesMax && (problem.fields.length > 0 || problem.details !== undefined)) {
    if (problem.fields.length > 0) problem.fields.length = Math.floor((problem.fields.length * 3) / 4);
    else delete problem.details;
    bytes = status();
  }
  return bytes;
}

/** The refusal in a google.rpc.Status, or undefined when it is not one of ours. */
export function decodeRefusal(bytes: Uint8Array): Refusal | undefined {
  let read;
  try {
    read = fromBinary(StatusSchema, bytes);
  } catch {
    return undefined; // another system's status: the caller decides by the code
  }
  const code = codes.get(read.code);
  const any = read.details[0];
  const problem = any === undefined ? undefined : anyUnpack(any, ProblemSchema);
  return code === undefined || problem === undefined ? undefined : refusalOf(code, problem);
}
