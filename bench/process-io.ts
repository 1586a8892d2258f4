import { readFileSync } from "node:fs";
import { familyOf } from "./processes.ts";

/**
 * Write system calls that the processes below these have made so far: write, writev, pwrite, not send. Those of processes that have ended do not count.
 * Undefined where the platform or the user's rights do not show them.
 */
export function writeCalls(roots: readonly number[]): number | undefined {
  let calls = 0;
  for (const pid of familyOf(roots)) {
    const text = ioOf(pid);
    if (text === undefined) return undefined;
    calls += writeCallsIn(text);
  }
  return calls;
}

/** The number in the text of /proc/<pid>/io; 0 in that of a process that has ended. */
export function writeCallsIn(text: string): number {
  return Number(/^syscw: (\d+)$/m.exec(text)?.[1] ?? 0);
}

function ioOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/io`, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    // It has ended since it was listed.
    if (code === "ENOENT" || code === "ESRCH") return "";
    if (code === "EACCES" || code === "EPERM") return undefined;
    throw error;
  }
}
