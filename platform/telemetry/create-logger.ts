import { pino, type DestinationStream, type Logger as Pino } from "pino";
import type { Clock } from "../clock/clock.ts";
import { systemClock } from "../clock/clock.ts";
import { describeError } from "./describe-error.ts";
import type { LogFields, Logger } from "./logger.ts";
import { prettyLine } from "./pretty-line.ts";
import { maskText, setRedacted, shorten } from "./redact.ts";
import { openStandardOutput } from "./standard-output.ts";

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

export interface LoggerOptions {
  /** The service that logs; a child logger may name another. */
  readonly service: string;
  /** Lines below it are dropped before their fields are read: "info" by default. */
  readonly level?: LogLevel;
  /** JSON lines, or a short form for people. By default pretty on a terminal and JSON elsewhere. */
  readonly format?: "json" | "pretty";
  /** Called with one line per `write`; standard output by default. */
  readonly stream?: { write(line: string): unknown };
  readonly clock?: Clock;
}

const ranks: Readonly<Record<LogLevel, number>> = { debug: 20, info: 30, warn: 40, error: 50, silent: 99 };
/** Keys that only the logger itself sets. */
const ownKeys = new Set(["time", "level", "message"]);

/**
 * A logger that writes one JSON object a line: `time`, `level`, `service`, `message`, of a call `correlation`, `traceId` and `spanId`, and the
 * fields. Fields named like secrets or personal data are replaced, addresses inside texts masked; the fields themselves are never changed.
 */
export function createLogger({ service, level = "info", format, stream, clock = systemClock }: LoggerOptions): Logger {
  const form = format ?? (stream === undefined && process.stdout.isTTY ? "pretty" : "json");
  const root = pino(
    {
      level,
      base: null,
      messageKey: "message",
      timestamp: () => `,"time":"${clock.now().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination(form, stream),
  );
  return loggerOver({ root, bound: { service }, rank: ranks[level] });
}

/** One for all loggers: two that write to the same pipe could interleave their lines. Its buffer is written when the process exits. */
let standardOutput: DestinationStream | undefined;

function destination(form: "json" | "pretty", stream: LoggerOptions["stream"]): DestinationStream {
  if (form === "json")
    return stream === undefined ? (standardOutput ??= openStandardOutput()) : { write: (line) => void stream.write(line) };
  const out = stream ?? process.stdout;
  const colors = stream === undefined && process.stdout.isTTY && process.env["NO_COLOR"] === undefined;
  return { write: (line) => void out.write(prettyLine(line, colors)) };
}

function loggerOver({ root, bound, rank }: { root: Pino; bound: Readonly<Record<string, unknown>>; rank: number }): Logger {
  const pinoOfBound = root.child(bound);
  const line = (level: "debug" | "info" | "warn" | "error") => {
    const own = ranks[level];
    return (fields: LogFields, message: string): void => {
      if (own < rank) return;
      const clean = cleanFields(fields);
      // A key that is bound already would be in the line twice; then the line is built from the root logger.
      const repeats = Object.keys(clean).some((key) => key in bound);
      if (repeats) root[level]({ ...bound, ...clean }, maskText(shorten(message)));
      else pinoOfBound[level](clean, maskText(shorten(message)));
    };
  };
  return {
    debug: line("debug"),
    info: line("info"),
    warn: line("warn"),
    error: line("error"),
    child: (fields) => loggerOver({ root, bound: { ...bound, ...cleanFields(fields) }, rank }),
  };
}

function cleanFields(fields: LogFields): Record<string, unknown> {
  const clean: Record<string, unknown> = {};
  for (const key of Object.keys(fields)) {
    if (key === "call") {
      const call = fields.call;
      if (call === undefined) continue;
      clean["correlation"] = call.correlation;
      clean["traceId"] = call.trace.traceId;
      clean["spanId"] = call.trace.spanId;
    } else if (key === "error") {
      if (fields.error !== undefined) clean["error"] = describeError(fields.error);
    } else setRedacted(clean, ownKeys.has(key) ? `${key}_` : key, fields[key], describeError);
  }
  return clean;
}
