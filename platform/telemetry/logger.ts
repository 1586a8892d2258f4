/** Structured log lines. Fields carry ids and reasons, never whole commands and never personal data. */
export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** A logger whose lines all carry these fields too. */
  child(fields: LogFields): Logger;
}

/** Of `call` the line has the correlation and trace ids, of `error` the message, stack and causes. */
export interface LogFields {
  readonly call?: { readonly correlation: string; readonly trace: { readonly traceId: string; readonly spanId: string } };
  readonly error?: unknown;
  readonly [key: string]: unknown;
}
