import { refuse } from "../errors/refusal.ts";
import type { Call } from "../call/call.ts";
import type { Database } from "./database.ts";

const turns = new WeakMap<Database, Map<string, Promise<void>>>();

/**
 * Lets one request of a key run at a time in this process; its repeats wait without a connection, because a flood of one key would take
 * all of them. Gives a function that ends the turn, or undefined after another's turn has ended. Refuses with IDEMPOTENCY_KEY_IN_PROGRESS
 * at the call's deadline. (Repeats in other processes wait in PostgreSQL.)
 */
export async function takeTurn(database: Database, key: string, call: Call): Promise<(() => void) | undefined> {
  let keys = turns.get(database);
  if (keys === undefined) turns.set(database, (keys = new Map()));
  const before = keys.get(key);
  if (before !== undefined) {
    await untilDeadline(before, call);
    return undefined;
  }
  const { promise, resolve } = Promise.withResolvers<void>();
  keys.set(key, promise);
  return () => {
    keys.delete(key);
    resolve();
  };
}

async function untilDeadline(before: Promise<void>, call: Call): Promise<void> {
  const waitMs = call.remainingMs();
  if (waitMs <= 0) throw inProgress();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(inProgress()), waitMs)));
  try {
    await Promise.race([before, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The refusal for a repeat that comes while the first is still running. */
export function inProgress(cause?: unknown): Error {
  return refuse({
    reason: "IDEMPOTENCY_KEY_IN_PROGRESS",
    code: "aborted",
    message: "The first request with this key is still running",
    retryAfterMs: 1_000,
    cause,
  });
}
