import { performance } from "node:perf_hooks";
import type { Logger } from "./logger.ts";

export interface OutageLogOptions {
  readonly log: Logger;
  /** The lines: that a server is unreachable, with what this means; and that it responds again. */
  readonly unreachable: string;
  readonly reachable: string;
}

/** Logs once that a server is unreachable, and once that it responds again, however many calls notice either. */
export class OutageLog {
  readonly #options: OutageLogOptions;
  readonly #sinceMs = new Map<string, number>();

  constructor(options: OutageLogOptions) {
    this.#options = options;
  }

  /** Whether any server has been logged as unreachable, or this one. */
  has(server?: string): boolean {
    return server === undefined ? this.#sinceMs.size > 0 : this.#sinceMs.has(server);
  }

  unreachable(server: string, error: unknown): void {
    if (this.#sinceMs.has(server)) return;
    this.#sinceMs.set(server, performance.now());
    this.#options.log.warn({ server, error }, this.#options.unreachable);
  }

  reachable(server: string): void {
    const sinceMs = this.#sinceMs.get(server);
    if (sinceMs === undefined) return;
    this.#sinceMs.delete(server);
    this.#options.log.info({ server, unreachableMs: Math.round(performance.now() - sinceMs) }, this.#options.reachable);
  }

  /** Forgets all servers without a line. */
  clear(): void {
    this.#sinceMs.clear();
  }
}
