import { performance } from "node:perf_hooks";
import type { CryptoKey } from "jose";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";

/** After this the keys are fetched again, while the known ones stay in use: a revoked key is rejected soon after. */
const freshMs = 5 * 60_000;
/** Unknown key ids cause no more than one fetch in this time. */
const pauseMs = 1000;

export interface KeyRing {
  /** The key with this id, or undefined when there is none. Refuses `DEPENDENCY_UNAVAILABLE` when the keys cannot be fetched. */
  key(kid: string): Promise<CryptoKey | undefined>;
}

export interface KeyRingOptions {
  readonly fetch: () => Promise<ReadonlyMap<string, CryptoKey>>;
  readonly log: Logger;
  /** The monotonic clock. */
  readonly nowMs?: () => number;
}

/** The issuer's public keys, fetched when they are needed. */
export function createKeyRing({ fetch, log, nowMs = () => performance.now() }: KeyRingOptions): KeyRing {
  let keys: ReadonlyMap<string, CryptoKey> = new Map();
  let fetchedMs = -Infinity;
  let fetching: Promise<void> | undefined;

  const refresh = (): Promise<void> =>
    (fetching ??= fetch()
      .then((fetched) => {
        keys = fetched;
        fetchedMs = nowMs();
      })
      .finally(() => (fetching = undefined)));

  return {
    async key(kid) {
      const ageMs = nowMs() - fetchedMs;
      if (keys.has(kid)) {
        if (ageMs > freshMs) refresh().catch((error: unknown) => log.warn({ error }, "the token keys could not be fetched again"));
        return keys.get(kid);
      }
      if (ageMs < pauseMs) return undefined;
      try {
        await refresh();
      } catch (error) {
        log.warn({ error }, "the token keys could not be fetched");
        throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable", retryAfterMs: 1000, cause: error });
      }
      return keys.get(kid);
    },
  };
}
