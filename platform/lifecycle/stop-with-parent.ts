/** What `stopWithParent` uses of a process. */
interface Child {
  readonly ppid: number;
}

const pollMs = 250;

/**
 * Calls `stop` once when `parent`, the number of the parent process at the start, has ended, and gives a function that ends the watch. For a
 * process that npm has started: npm passes SIGTERM on to a shell, and the shell ends without passing it on. On Windows, where a process keeps
 * its parent's number, it never calls.
 */
export function stopWithParent(stop: () => void, parent: number, child: Child = process): () => void {
  const timer = setInterval(() => {
    if (child.ppid === parent) return;
    clearInterval(timer);
    stop();
  }, pollMs);
  timer.unref();
  return () => clearInterval(timer);
}
