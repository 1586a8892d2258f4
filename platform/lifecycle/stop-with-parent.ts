/** What `stopWithParent` uses of a process. */
interface Child {
  readonly ppid: number;
}

const pollMs = 250;

/**
 * Calls `stop` once when the parent process has ended, and gives a function that ends the watch. For a process that npm has started: npm passes
 * SIGTERM on to a shell, and the shell ends without passing it on. On Windows, where a process keeps its parent's number, it never calls.
 */
export function stopWithParent(stop: () => void, child: Child = process): () => void {
  const parent = child.ppid;
  const timer = setInterval(() => {
    if (child.ppid === parent) return;
    clearInterval(timer);
    stop();
  }, pollMs);
  timer.unref();
  return () => clearInterval(timer);
}
