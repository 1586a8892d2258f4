import { constants } from "node:os";
import type { Logger } from "../telemetry/logger.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { within } from "../retry/within.ts";

export interface StopOptions {
  readonly lifecycle: Pick<Lifecycle, "stop" | "drain">;
  readonly log: Logger;
  /** How long a graceful stop may take: 10,000 by default. Past it the process exits with code 1. */
  readonly timeoutMs?: number;
  /** How long the process says that it is not ready, and goes on serving, before it stops: 0 by default. Comes on top of `timeoutMs`. */
  readonly drainMs?: number;
  /** The process; another one in tests. */
  readonly process?: ProcessLike;
}

/** As much of a process as is needed. */
export interface ProcessLike {
  on(event: string, listener: (about: unknown) => void): unknown;
  off(event: string, listener: (about: unknown) => void): unknown;
  exit(code: number): unknown;
}

/**
 * Ends the process when it is told to: on SIGTERM or SIGINT it stops gracefully and exits with 0, on a second signal at once with 128 plus the
 * signal's number. An exception or rejection that nobody handled is logged and stops it too, with code 1. Gives a function that undoes it.
 */
export function stopOnSignals({ lifecycle, log, timeoutMs = 10_000, drainMs = 0, process: target = process }: StopOptions): () => void {
  let exitCode: number | undefined;
  const drained = Promise.withResolvers<void>();

  async function end(): Promise<void> {
    lifecycle.drain();
    if (drainMs > 0) await within(drainMs, drained.promise);
    try {
      const stopped = await within(
        timeoutMs,
        lifecycle.stop().then(() => true),
      );
      if (stopped !== true) {
        log.error({ timeoutMs }, "did not stop in time");
        exitCode = 1;
      }
    } catch (error) {
      log.error({ error }, "did not stop cleanly");
      exitCode = 1;
    }
    target.exit(exitCode ?? 0);
  }

  const onSignal = (signal: "SIGTERM" | "SIGINT"): void => {
    if (exitCode !== undefined) {
      log.warn({ signal }, "exits at once");
      target.exit(128 + constants.signals[signal]);
      return;
    }
    exitCode = 0;
    log.info({ signal }, "stops");
    void end();
  };
  const onFault = (kind: string) => (error: unknown) => {
    log.error({ error }, kind);
    const stopping = exitCode !== undefined;
    exitCode = 1;
    // A process in an unknown state should not go on serving while it drains.
    drained.resolve();
    if (!stopping) void end();
  };
  const listeners: Readonly<Record<string, (about: unknown) => void>> = {
    SIGTERM: () => onSignal("SIGTERM"),
    SIGINT: () => onSignal("SIGINT"),
    uncaughtException: onFault("an exception that nobody handled"),
    unhandledRejection: onFault("a rejection that nobody handled"),
  };
  for (const [event, listener] of Object.entries(listeners)) target.on(event, listener);
  return () => {
    for (const [event, listener] of Object.entries(listeners)) target.off(event, listener);
  };
}
