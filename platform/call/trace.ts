import { randomFillSync } from "node:crypto";

/** W3C trace ids, lower-case hex. */
export interface Trace {
  readonly traceId: string;
  readonly spanId: string;
}

const traceBytes = 24;
/** Random bytes are drawn for many traces at once: drawing them costs more than many a call. */
const random = Buffer.alloc(traceBytes * 256);
let randomText = "";
let usedChars = 0;

/** A trace that starts here. */
export function newTrace(): Trace {
  if (usedChars === randomText.length) {
    randomText = randomFillSync(random).toString("hex");
    usedChars = 0;
  }
  const spanAt = usedChars + 32;
  const trace = { traceId: randomText.slice(usedChars, spanAt), spanId: randomText.slice(spanAt, spanAt + 16) };
  usedChars += traceBytes * 2;
  return trace;
}

const traceparentForm = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?$/;
const traceparentCharsMax = 100;

/** The value of a W3C `traceparent` header. */
export function formatTraceparent({ traceId, spanId }: Trace): string {
  return `00-${traceId}-${spanId}-01`;
}

/** The trace in the value of a W3C `traceparent` header; undefined when it is not a valid one. */
export function parseTraceparent(text: string): Trace | undefined {
  const parts = text.length <= traceparentCharsMax ? traceparentForm.exec(text) : null;
  return parts === null ? undefined : { traceId: parts[1]!, spanId: parts[2]! };
}

/** A trace as events, tasks and calls between services carry it. */
export function formatTrace({ traceId, spanId }: Trace): string {
  return `${traceId}-${spanId}`;
}

/** The trace in what `formatTrace` wrote; undefined when there is none in it. */
export function parseTrace(text: string): Trace | undefined {
  const [traceId, spanId] = text.split("-");
  return traceId && spanId ? { traceId, spanId } : undefined;
}
