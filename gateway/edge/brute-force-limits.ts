import { getOption } from "@bufbuild/protobuf";
import { secret } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import type { MethodContract } from "@kontor/platform/contract/contract.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { tooMany } from "./rate-limits.ts";
import type { Count, RateLimits } from "./rate-limits.ts";

/** Bounds what one address may guess, over all accounts: passwords, codes, refresh tokens. An account bounds its own guesses in the service. */
export interface BruteForceLimits {
  /** Does what may turn out to be a guess. Refuses `RATE_LIMITED`, before it is done, once there were too many that were wrong. */
  at<Answer>(address: string, work: () => Promise<Answer>): Promise<Answer>;
}

export function createBruteForceLimits(limit: RateLimits["guesses"], count: Count): BruteForceLimits {
  if (limit === "off") return { at: (_, work) => work() };
  const { requests, windowMs } = limit;
  return {
    async at(address, work) {
      const key = `guesses:${address}`;
      // Counted before it is known to be wrong: many at once would all pass otherwise. What was right is taken off again.
      const { count: found, expiresInMs } = await count(key, 1, windowMs);
      if (found > requests) throw tooMany(expiresInMs, "Too many tries from this address; wait a little");
      let wrong = false;
      try {
        return await work();
      } catch (error) {
        wrong = isWrongGuess(error);
        throw error;
      } finally {
        if (!wrong) void count(key, -1, windowMs);
      }
    },
  };
}

/** Whether something secret is sent to it. */
export function takesSecret({ method }: Pick<MethodContract, "method">): boolean {
  return method.input.fields.some((field) => getOption(field, secret));
}

/** The service has decided against it: not for its form, nor because something was away. */
function isWrongGuess(error: unknown): boolean {
  const refusal = refusalIn(error);
  if (refusal === undefined || refusal.reason === "INVALID_REQUEST") return false;
  return !["unavailable", "deadline_exceeded", "internal"].includes(refusal.code);
}
