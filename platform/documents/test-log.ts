import type { Logger } from "../telemetry/logger.ts";

/** A log that a test reads: "warn: the message". */
export function logLines(): { readonly log: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  const write = (level: string) => (_: unknown, message: string) => void lines.push(`${level}: ${message}`);
  const log: Logger = { debug: () => undefined, info: write("info"), warn: write("warn"), error: write("error"), child: () => log };
  return { log, lines };
}
