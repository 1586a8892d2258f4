import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { tooMany } from "./rate-limits.ts";
import type { Count, RateLimits } from "./rate-limits.ts";

/** Limits how many wrong passwords, codes and refresh tokens one address may send, over all accounts. Each account is limited in its service. */
export interface BruteForceLimits {
  /** Does work that checks a secret. Refuses `RATE_LIMITED`, without doing it, after too many wrong secrets. */
  attempt<Result>(address: string, work: () => Promise<Result>): Promise<Result>;
}

export function createBruteForceLimits(limit: RateLimits["bruteForce"], count: Count): BruteForceLimits {
  if (limit === "off") return { attempt: (_, work) => work() };
  const { requests, windowMs } = limit;
  return {
    async attempt(address, work) {
      const key = `brute-force:${address}`;
      // Counted before the secret is checked: many at once would all pass otherwise. A right one is subtracted again.
      const { count: attempts, expiresInMs } = await count(key, 1, windowMs);
      if (attempts > requests) throw tooMany(expiresInMs, "Too many tries from this address; wait a little");
      let wrong = false;
      try {
        return await work();
      } catch (error) {
        wrong = isWrongSecret(error);
        throw error;
      } finally {
        if (!wrong) void count(key, -1, windowMs);
      }
    },
  };
}

/** The service has checked the secret and refused it; the request was neither malformed nor was something unavailable. */
function isWrongSecret(error: unknown): boolean {
  const refusal = refusalIn(error);
  if (refusal === undefined || refusal.reason === "INVALID_REQUEST") return false;
  return !["unavailable", "deadline_exceeded", "internal"].includes(refusal.code);
}
