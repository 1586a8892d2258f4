import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { JsonObject } from "@bufbuild/protobuf";
import { anyPack, anyUnpack } from "@bufbuild/protobuf/wkt";
import { ProblemSchema, StatusSchema } from "@kontor/contracts/gen/kontor/rpc/v1/problem_pb.js";
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

/** It travels in a header, and those of one answer may hold 64 KB, base64 and all. */
const problemBytesMax = 16 * 1024;
const messageLengthMax = 2_000;

/** A refusal as google.rpc.Status with a Problem in its details. Of one that is too long for a header the last fields are left out. */
export function encodeRefusal(refusal: Refusal): Uint8Array {
  const { code, reason, details, retryAfterMs } = refusal;
  const message = refusal.message.slice(0, messageLengthMax);
  const problem = create(ProblemSchema, {
    reason,
    message,
    fields: [...refusal.fields],
    // Refusals hold JSON only, by contract.
    ...(Object.keys(details).length > 0 && { details: details as JsonObject }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
  const status = () =>
    toBinary(StatusSchema, create(StatusSchema, { code: statusOf[code], message, details: [anyPack(ProblemSchema, problem)] }));
  let bytes = status();
  while (bytes.length > problemBytesMax && (problem.fields.length > 0 || problem.details !== undefined)) {
    if (problem.fields.length > 0) problem.fields.length = Math.floor((problem.fields.length * 3) / 4);
    else delete problem.details;
    bytes = status();
  }
  return bytes;
}

/** The refusal in a google.rpc.Status, or undefined when it is none of ours. */
export function decodeRefusal(bytes: Uint8Array): Refusal | undefined {
  let read;
  try {
    read = fromBinary(StatusSchema, bytes);
  } catch {
    return undefined; // somebody else's status: the caller says what it makes of that
  }
  const code = codes.get(read.code);
  const any = read.details[0];
  const problem = any === undefined ? undefined : anyUnpack(any, ProblemSchema);
  if (code === undefined || problem === undefined) return undefined;
  const { reason, message, details, fields, retryAfterMs } = problem;
  return refuse({
    reason,
    code,
    message,
    ...(details !== undefined && { details }),
    fields: fields.map(({ field, reason: why, message: about }) => ({ field, reason: why, message: about })),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}
