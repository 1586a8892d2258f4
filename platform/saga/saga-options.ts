import { attemptDefaults } from "./saga-retries.ts";
import type { AttemptOptions } from "./saga-retries.ts";

export interface SagasOptions extends AttemptOptions {
  /** How long a lease lasts without renewal: 10,000. It is renewed after a third of that. */
  readonly leaseMs: number;
  /** How often sagas without an owner are searched for: 1,000. */
  readonly recoverEveryMs: number;
  /** How many sagas are taken over at a time: 32. */
  readonly recoverAtOnce: number;
  /** How long before its caller's deadline `run` returns "running", so that the response still arrives: 100, or a tenth of what is left. */
  readonly replyMarginMs: number;
  /** How long `stop` waits for sagas under way: 5,000. Other processes take over the rest at once. */
  readonly stopMs: number;
}

export const sagasDefaults: SagasOptions = {
  ...attemptDefaults,
  leaseMs: 10_000,
  recoverEveryMs: 1_000,
  recoverAtOnce: 32,
  replyMarginMs: 100,
  stopMs: 5_000,
};
