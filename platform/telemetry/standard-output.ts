import { write, writeSync } from "node:fs";

const fd = 1;
const retryMs = 50;
/** How often a reader that takes nothing is tried at exit. */
const exitTriesMax = 20;

/**
 * Standard output for log lines: writes them without waiting, in order, and what is left when the process exits. When the reader has ended, further
 * lines are dropped, and `process.stdout` has the error. (pino's own destination tries such a write again for ever when the process exits.)
 */
export function openStandardOutput(): { write(line: string): void } {
  let waiting = "";
  let chunk: Buffer | undefined;
  let underWay = false;
  let failed = false;

  const next = (): void => {
    if (chunk === undefined) {
      if (waiting === "") return;
      chunk = Buffer.from(waiting);
      waiting = "";
    }
    underWay = true;
    write(fd, chunk, 0, chunk.length, null, written);
  };
  const written = (error: NodeJS.ErrnoException | null, bytes: number): void => {
    underWay = false;
    if (error === null) chunk = rest(chunk!, bytes);
    else if (error.code === "EAGAIN") return void setTimeout(next, retryMs);
    else {
      failed = true;
      process.stdout.emit("error", error);
      return;
    }
    next();
  };
  process.once("exit", () => {
    if (failed) return;
    // A write that is under way ends without us.
    writeAll(Buffer.concat([underWay || chunk === undefined ? Buffer.alloc(0) : chunk, Buffer.from(waiting)]));
  });
  return {
    write: (line) => {
      if (failed) return;
      waiting += line;
      if (chunk === undefined) next();
    },
  };
}

function rest(chunk: Buffer, bytes: number): Buffer | undefined {
  return bytes < chunk.length ? chunk.subarray(bytes) : undefined;
}

function writeAll(text: Buffer): void {
  let left: Buffer | undefined = text.length === 0 ? undefined : text;
  for (let tries = 0; left !== undefined && tries < exitTriesMax;)
    try {
      left = rest(left, writeSync(fd, left));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return;
      tries++;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, retryMs);
    }
}
