export interface WithinOptions<Late> {
  /** Called when the time is over; what it returns or throws is the outcome. Without it the outcome is undefined. */
  readonly late?: () => Late;
  /** Whether the wait alone keeps the process running: true by default. */
  readonly ref?: boolean;
}

/**
 * The result of the promise, or what `late` makes of it when that takes longer than `timeoutMs`. The work behind the promise goes on; a later
 * rejection of it is ignored.
 */
export async function within<T, Late = undefined>(
  timeoutMs: number,
  promise: Promise<T>,
  { late, ref = true }: WithinOptions<Late> = {},
): Promise<T | Late | undefined> {
  const over = Promise.withResolvers<void>();
  const timer = setTimeout(over.resolve, timeoutMs);
  if (!ref) timer.unref();
  try {
    return await Promise.race([promise, over.promise.then(late)]);
  } finally {
    clearTimeout(timer);
  }
}
