import type { Cache } from "@kontor/platform/cache/cache.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";

/** Attempts of one payment, whatever became of them. */
export const attemptsMax = 20;

/** How long there is no other attempt after so many declines: not at all after the first `free`, then twice as long each time. */
export interface Pausing {
  readonly free: number;
  readonly firstMs: number;
  readonly maxMs: number;
}

const ofPayment: Pausing = { free: 2, firstMs: 10_000, maxMs: 900_000 };
/** All payments of an account. Six cards in an hour are more than a shopper has; who tries stolen ones has thousands. */
const ofAccount: Pausing = { free: 5, firstMs: 30_000, maxMs: 3_600_000 };
/** All payments that are paid from an address, which may be that of a whole town. */
const ofAddress: Pausing = { free: 100, firstMs: 5_000, maxMs: 3_600_000 };
const windowMs = 3_600_000;

/** A payment, as far as its limits need it. */
export interface Attempted {
  readonly attempts: readonly { readonly status: string; readonly updatedAt: Date }[];
}

/** In milliseconds. */
export function pauseAfter(declines: number, { free, firstMs, maxMs }: Pausing): number {
  return declines <= free ? 0 : Math.min(maxMs, firstMs * 2 ** (declines - free - 1));
}

/** Refuses another attempt at a payment with TOO_MANY_ATTEMPTS: for good after 20, for a while after the third decline and each after it. */
export function expectAttempt({ attempts }: Attempted, at: Date): void {
  if (attempts.length >= attemptsMax) throw tooManyAttempts("payment");
  const declined = attempts.filter(({ status }) => status === "DECLINED");
  const lastMs = Math.max(...declined.map(({ updatedAt }) => updatedAt.getTime()));
  const waitMs = lastMs + pauseAfter(declined.length, ofPayment) - at.getTime();
  if (declined.length > 0 && waitMs > 0) throw tooManyAttempts("payment", waitMs);
}

/** Who pays: the account that ordered, and the address that the attempt came from. */
export interface Payer {
  readonly customer: string;
  readonly origin: string | undefined;
}

/** Declines over all payments, because who tries stolen cards makes an order for each. */
export interface Declines {
  /** Refuses with TOO_MANY_ATTEMPTS while a pause lasts. */
  expectAttempt(payer: Payer): Promise<void>;
  /** Counts one, which begins a pause after too many. */
  count(payer: Payer): Promise<void>;
}

export function countDeclines({ increment }: Pick<Cache, "increment">): Declines {
  const limitsOf = ({ customer, origin }: Payer) => [
    { of: "account", who: customer, pausing: ofAccount },
    ...(origin === undefined ? [] : [{ of: "address", who: origin, pausing: ofAddress }]),
  ];
  const declinesOf = (of: string, who: string) => `declines:${of}:${who}`;
  const pauseOf = (of: string, who: string, declines: number) => `declines-pause:${of}:${who}:${declines}`;
  return {
    async expectAttempt(payer) {
      await Promise.all(
        limitsOf(payer).map(async ({ of, who, pausing }) => {
          const { count } = await increment(declinesOf(of, who), 0, windowMs);
          const pauseMs = pauseAfter(count, pausing);
          if (pauseMs === 0) return;
          const pause = await increment(pauseOf(of, who, count), 0, pauseMs);
          if (pause.count > 0) throw tooManyAttempts(of, pause.expiresInMs);
        }),
      );
    },
    async count(payer) {
      for (const { of, who, pausing } of limitsOf(payer)) {
        const { count } = await increment(declinesOf(of, who), 1, windowMs);
        const pauseMs = pauseAfter(count, pausing);
        if (pauseMs > 0) await increment(pauseOf(of, who, count), 1, pauseMs);
      }
    },
  };
}

function tooManyAttempts(limit: string, retryAfterMs?: number): Error {
  const message = retryAfterMs === undefined ? "There were too many attempts to pay" : "Too many payments were declined; wait a little";
  const init = { reason: "TOO_MANY_ATTEMPTS", code: "resource_exhausted", message, details: { limit } } as const;
  return refuse(retryAfterMs === undefined ? init : { ...init, retryAfterMs });
}
