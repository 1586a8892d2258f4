/** How the pauses between tries grow: each is twice as long as the one before, up to a longest one. */
export interface Backoff {
  /** The pause after the first failure. */
  readonly pauseMsMin: number;
  /** The longest pause, before jitter. */
  readonly pauseMsMax: number;
  /**
   * Each pause is lengthened or shortened at random by up to this share of it, so that processes that failed together do not come back
   * together: 0.2 means ±20 %. 0 by default.
   */
  readonly jitter?: number;
}

/** The pause after so many failures in a row, counted from 1. `random` gives 0 to 1. Not rounded. */
export function backoffMs({ pauseMsMin, pauseMsMax, jitter = 0 }: Backoff, failures: number, random: () => number = Math.random): number {
  const plainMs = Math.min(pauseMsMin * 2 ** (failures - 1), pauseMsMax);
  return jitter === 0 ? plainMs : plainMs * (1 - jitter + 2 * jitter * random());
}
