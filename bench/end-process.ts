import type { ChildProcess } from "node:child_process";
import { once } from "node:events";

const stopMsMax = 30_000;

/** Ends a process by SIGTERM and waits for its end; by SIGKILL when that takes longer than half a minute. */
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), stopMsMax);
  await ended;
  clearTimeout(timer);
}
