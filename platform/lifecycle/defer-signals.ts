import { constants } from "node:os";
import type { ProcessLike } from "./stop-on-signals.ts";

/** What `deferSignals` uses of a process. */
interface Target extends ProcessLike {
  emit(event: string, about: unknown): boolean;
}

const signals = ["SIGTERM", "SIGINT"] as const;

/**
 * Holds SIGTERM and SIGINT back while a process starts what would outlive it, such as a PostgreSQL. The function that it gives ends that and
 * delivers the first signal again, after the code that follows has installed its handlers; without one the process exits. A second signal
 * meanwhile exits at once.
 */
export function deferSignals(target: Target = process): () => void {
  let deferred: (typeof signals)[number] | undefined;
  const exit = (signal: (typeof signals)[number]): unknown => target.exit(128 + constants.signals[signal]);
  const listeners = signals.map((signal) => {
    const listener = (): void => void (deferred === undefined ? (deferred = signal) : exit(signal));
    target.on(signal, listener);
    return [signal, listener] as const;
  });
  return () => {
    for (const [signal, listener] of listeners) target.off(signal, listener);
    const signal = deferred;
    if (signal !== undefined) setImmediate(() => target.emit(signal, signal) || exit(signal));
  };
}
