import type { Code } from "./refusal.ts";

/** The HTTP status of each code, at the edge and between services. At the edge a reason may have one of its own. */
export const httpStatusOf: Readonly<Record<Code, number>> = {
  invalid_argument: 400,
  unauthenticated: 401,
  permission_denied: 403,
  not_found: 404,
  failed_precondition: 409,
  aborted: 409,
  already_exists: 409,
  resource_exhausted: 429,
  internal: 500,
  unimplemented: 501,
  unavailable: 503,
  deadline_exceeded: 504,
};
