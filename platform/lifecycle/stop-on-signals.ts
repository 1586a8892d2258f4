import { constants } from "node:os";
import type { LogFields, Logger } from "../telemetry/logger.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { within } from "../retry/within.ts";

export interface StopOptions {
  readonly lifecycle: Pick<Lifecycle, "stop" | "drain" | "failed">;
  readonly log: Logger;
  /** How long a graceful stop may take: 10,000 by default. Past it the process exits with code 1. */
  readonly timeoutMs?: number;
  /** How long the process is not ready but goes on serving before it stops: 0 by default. It is added to `timeoutMs`. */
  readonly drainMs?: number;
  /** The process; another one in tests. */
  readonly process?: ProcessLike;
}

/** What `stopOnSignals` uses of a process. */
export interface ProcessLike {
  on(event: string, listener: (about: unknown) => void): unknown;
  off(event: string, listener: (about: unknown) => void): unknown;
  exit(code: number): unknown;
}

export interface ProcessStop {
  /** Stops the process as SIGTERM does. `cause` is logged. */
  stop(cause: string): void;
  /** Handles signals and faults no longer. */
  remove(): void;
}

/** After a failure of the lifecycle, work under way cannot succeed: it is not waited for longer than this. */
const failedTimeoutMs = 1_000;

/**
 * Stops the process gracefully on SIGTERM or SIGINT and exits with 0; on a second signal it exits at once with 128 plus the signal's number.
 * An unhandled exception or rejection is logged and stops it too, with code 1. When the lifecycle has failed, it exits with 1 after a second
 * at most.
 */
export function stopOnSignals({ lifecycle, log, timeoutMs = 10_000, drainMs = 0, process: target = process }: StopOptions): ProcessStop {
  let exitCode: number | undefined;
  const drained = Promise.withResolvers<void>();

  async function end(stopMs: number): Promise<void> {
    lifecycle.drain();
    if (drainMs > 0) await within(drainMs, drained.promise);
    try {
      const stopped = await within(
        stopMs,
        lifecycle.stop().then(() => true),
      );
      if (stopped !== true) {
        log.error({ timeoutMs: stopMs }, "did not stop in time");
        exitCode = 1;
      }
    } catch (error) {
      log.error({ error }, "did not stop cleanly");
      exitCode = 1;
    }
    target.exit(exitCode ?? 0);
  }

  const begin = (fields: LogFields): void => {
    exitCode = 0;
    log.info(fields, "stops");
    void end(timeoutMs);
  };
  const onSignal = (signal: "SIGTERM" | "SIGINT"): void => {
    if (exitCode === undefined) return begin({ signal });
    log.warn({ signal }, "exits at once");
    target.exit(128 + constants.signals[signal]);
  };
  const onFault = (kind: string) => (error: unknown) => {
    log.error({ error }, kind);
    const stopping = exitCode !== undefined;
    exitCode = 1;
    // A process in an unknown state should not go on serving while it drains.
    drained.resolve();
    if (!stopping) void end(timeoutMs);
  };
  void lifecycle.failed.then((error) => {
    log.error({ error }, "the process cannot work any longer and exits");
    exitCode = 1;
    drained.resolve();
    void end(failedTimeoutMs);
  });
  const listeners: Readonly<Record<string, (about: unknown) => void>> = {
    SIGTERM: () => onSignal("SIGTERM"),
    SIGINT: () => onSignal("SIGINT"),
    uncaughtException: onFault("unhandled exception"),
    unhandledRejection: onFault("unhandled rejection"),
  };
  for (const [event, listener] of Object.entries(listeners)) target.on(event, listener);
  return {
    stop: (cause) => (exitCode === undefined ? begin({ cause }) : undefined),
    remove: () => {
      for (const [event, listener] of Object.entries(listeners)) target.off(event, listener);
    },
  };
}
