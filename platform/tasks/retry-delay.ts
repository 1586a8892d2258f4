import { backoffMs } from "../retry/backoff.ts";
import type { Queue } from "./tasks.ts";

/** The pause before the next try after `attempt` tries: doubling from the queue's first, ±20 %. `random` gives 0 to 1. */
export function retryDelayMs(queue: Pick<Queue, "retryDelayMs" | "retryDelayMsMax">, attempt: number, random: () => number): number {
  const { retryDelayMs: pauseMsMin = 1_000, retryDelayMsMax: pauseMsMax = 600_000 } = queue;
  return Math.round(backoffMs({ pauseMsMin, pauseMsMax, jitter: 0.2 }, attempt, random));
}

/** How many tries a queue's tasks get. */
export function attemptsMaxOf(queue: Pick<Queue, "attemptsMax">): number {
  return queue.attemptsMax ?? 10;
}

/** How long one try may take. */
export function timeoutMsOf(queue: Pick<Queue, "timeoutMs">): number {
  return queue.timeoutMs ?? 30_000;
}
